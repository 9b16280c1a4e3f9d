-- Ends a session: completed, failed, terminated or deleted.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  what the caller may write to: see kind_error
-- ARGV[6]  expected   count   the version it must have; '' for any
-- ARGV[7]  status     string  the final status
-- ARGV[8]  allowed    string  what may become it: see transition_error; '' for what is live or ended
-- ARGV[9]  reason     string  '' for none
-- ARGV[10] grace      ms
-- ARGV[11] retention  ms
-- ARGV[12] actor      string
-- ARGV[13] trace      string
-- ARGV[14] changes    JSON    the changed fields, for the event
-- Returns  the record: {field, value, ...}
-- Errors   NOTFOUND, OWNER, KIND, ENDED, CORRUPT, CONFLICT, TRANSITION, RATE
-- @include include/keys
-- @include include/operation
-- @include include/whole
-- @include include/finish
-- @include include/tally
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, expected, status, allowed, reason = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local grace, retention = tonumber(ARGV[10]), tonumber(ARGV[11])
local actor, trace, changes = ARGV[12], ARGV[13], ARGV[14]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if redis.call('ZSCORE', k.operations, operation) then
  return redis.call('HGETALL', session)
end
local core, refusal
if status == 'deleted' then
  -- @include include/kind
  -- An ended session may still be deleted.
  core, refusal = load_whole(k)
  if not refusal and (not core or is_overdue(core, now) or core.status == 'deleted' or core.status == 'expired') then
    refusal = redis.error_reply('NOTFOUND')
  end
  refusal = refusal or kind_error(core, kinds)
else
  core, refusal = live_core(now, kinds, load_whole(k))
end
refusal = refusal or version_error(core, expected)
if not refusal and allowed ~= '' then
  -- @include include/transition
  refusal = transition_error(core, status, allowed)
end
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/pass
  limited = pass(k, limits, core)
end
if limited or refusal then
  return limited or refusal
end

patch(core, finish(k, core, now, grace, retention, { status = status, reason = reason,
  event = status == 'deleted' and 'deleted' or 'ended', actor = actor, trace = trace, changes = changes }))
if core.live then
  count_end(k, status, core, now)
end
remember(k, operation, now)
return core.flat
