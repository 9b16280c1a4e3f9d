-- Counts live sessions that were there before their tenant had limits, each once.
-- KEYS[1]  limits     hash    the tenant's limits
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  done       0|1     whether these are the last ones
-- ARGV[4...] id       string  the sessions
-- Returns  how many were counted now
-- Errors   none
-- @include include/keys
-- @include include/record
-- @include include/place
-- @include include/size
local limits = KEYS[1]
local prefix, tenant, done = ARGV[1], ARGV[2], ARGV[3] == '1'

local placed = 0
for i = 4, #ARGV do
  local k = session_keys(prefix, tenant, ARGV[i])
  local core = not place_of(k) and load_core(k)
  if core and core.live then
    take_place(k, core.accessed, bytes_of_session(k, redis.call('HGETALL', k.session), 1, core.logs), core.owner)
    placed = placed + 1
  end
end
if done and redis.call('HGET', limits, 'places') == 'filling' then
  redis.call('HSET', limits, 'places', 'kept')
end
return placed
