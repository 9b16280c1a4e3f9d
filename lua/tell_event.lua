-- Appends an event that no write of a session brings: what an operator did, say.
-- KEYS[1]  events     stream  the partition's outbox
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string  the session that it is about; '' for none
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  type       string  of the event
-- ARGV[6]  actor      string
-- ARGV[7]  trace      string
-- ARGV[8]  changes    JSON    what was done
-- Returns  1
-- Errors   none
-- @include include/keys
-- @include include/operation
-- @include include/event
local events = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local type, actor, trace, changes = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if events == k.events and not redis.call('ZSCORE', k.operations, operation) then
  emit(k, type, '', '0', now, actor, trace, changes, '')
  remember(k, operation, now)
end
return 1
