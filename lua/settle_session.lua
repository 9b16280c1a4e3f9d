-- After the archive committed a record: no longer dirty if that is still its state, and gone if its time is over.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  version    count   as archived
-- ARGV[5]  updated_at ms      as archived
-- ARGV[6...] log, count       how many entries of each log are archived
-- Returns  'settled', 'removed', 'changed' (still dirty) or 'gone'
-- Errors   none
-- @include include/keys
-- @include include/lose
local session = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]
local version, updated_at = ARGV[4], ARGV[5]

local k = session_keys(prefix, tenant, id)
local state = redis.call('HMGET', session, 'version', 'updated_at_ms')
if not state[1] and redis.call('EXISTS', session) == 0 then
  if redis.call('ZREM', k.dirty, k.member) == 1 then -- who removes a session properly leaves nothing dirty
    lose(k, now_ms(), 'lost')
  end
  return 'gone'
end
local unchanged = state[1] == version and state[2] == updated_at
if unchanged then
  redis.call('ZREM', k.dirty, k.member)
  local removal = redis.call('ZSCORE', k.removals, k.member)
  if removal and tonumber(removal) <= now_ms() then
    remove(k)
    return 'removed'
  end
end
for i = 6, #ARGV, 2 do
  redis.call('HSET', session, '_archived:' .. ARGV[i], ARGV[i + 1])
end
return unchanged and 'settled' or 'changed'
