-- Tells once, as an event, that a tenant was deleted and what that removed; the mark then carries it until it goes.
-- KEYS[1]  limits     hash    the tenant's limits, with the mark
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  actor      string
-- ARGV[4]  trace      string
-- ARGV[5]  changes    JSON    what was done
-- Returns  what was told, now or before
-- Errors   none
-- @include include/keys
-- @include include/event
local limits = KEYS[1]
local prefix, tenant = ARGV[1], ARGV[2]
local actor, trace, changes = ARGV[3], ARGV[4], ARGV[5]

local told = redis.call('HGET', limits, 'told')
if told then
  return told
end
redis.call('HSET', limits, 'told', changes)
emit(session_keys(prefix, tenant, ''), 'administered', '', '0', now_ms(), actor, trace, changes, '')
return changes
