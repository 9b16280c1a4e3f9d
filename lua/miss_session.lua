-- Tells, once, that a session's record is gone though something still lists it: evicted, or deleted by other hands.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- Returns  'there', 'lost' (told now), 'cleaned' (it had ended and was archived), 'unknown' (nothing lists it)
-- Errors   none
-- @include include/keys
-- @include include/statuses
-- @include include/lose
local session = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]

local k = session_keys(prefix, tenant, id)
if redis.call('EXISTS', session) == 1 then
  return 'there'
end
local function is_listed(statuses)
  for _, kind in ipairs(redis.call('SMEMBERS', k.kinds)) do
    for status in pairs(statuses) do
      if type(redis.pcall('ZSCORE', status_index(k, kind, status), id)) == 'string' then
        return true
      end
    end
  end
  return false
end
if redis.call('ZSCORE', k.dirty, k.member) or redis.call('ZSCORE', k.deadlines, k.member) or is_listed(LIVE) then
  return lose(k, now_ms(), 'lost')
end
if is_listed(ENDED) then
  forget(k)
  forget_status(k)
  redis.call('SADD', k.lost, k.member)
  return 'cleaned'
end
return 'unknown'
