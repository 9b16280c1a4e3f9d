-- Sets a tenant's limits. Once one of them is on live sessions these take places, which the caller then counts.
-- KEYS[1]  limits     hash    the tenant's limits
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  operation  string  this write's random id
-- ARGV[4]  actor      string
-- ARGV[5]  trace      string
-- ARGV[6]  changes    JSON    for the event: what is set
-- ARGV[7]  places     0|1     whether one of the limits is on live sessions
-- ARGV[8]  begins     0|1     set them only for a tenant that has neither limits nor sessions yet
-- ARGV[9...] name, value      of each limit; '' for none
-- Returns  {places, name, value, ...}: '' while there are none, 'filling' until they are counted, or 'kept'; the limits
-- Errors   none
-- @include include/keys
-- @include include/operation
-- @include include/event
local key = KEYS[1]
local prefix, tenant, operation, actor, trace = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local changes, places, begins = ARGV[6], ARGV[7] == '1', ARGV[8] == '1'

local k = session_keys(prefix, tenant, '')
-- A tenant with a partition of its own has a note of that here from the start.
local is_new = redis.call('HLEN', key) == redis.call('HEXISTS', key, 'home') and redis.call('EXISTS', k.kinds) == 0
if not redis.call('ZSCORE', k.operations, operation) and (is_new or not begins) then
  for i = 9, #ARGV, 2 do
    if ARGV[i + 1] == '' then
      redis.call('HDEL', key, ARGV[i])
    else
      redis.call('HSET', key, ARGV[i], ARGV[i + 1])
    end
  end
  if places and redis.call('HEXISTS', key, 'places') == 0 then
    redis.call('HSET', key, 'places', is_new and 'kept' or 'filling')
  end
  remember(k, operation, now_ms())
  if changes ~= '' then
    emit(k, 'administered', '', '0', now_ms(), actor, trace, changes, '')
  end
end
local found = redis.call('HGETALL', key)
table.insert(found, 1, redis.call('HGET', key, 'places') or '')
return found
