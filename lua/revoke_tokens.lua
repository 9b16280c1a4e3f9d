-- Revokes all tokens of a session, be it there or not; but for one owner it is to be there, and his.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[6]  reason     string  for the event: 'session', or 'owner'
-- ARGV[7]  actor      string
-- ARGV[8]  trace      string
-- Returns  how many could be used until now
-- Errors   NOTFOUND, KIND, OWNER, MOVED
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/kind
-- @include include/token
-- @include include/event
local session = KEYS[1]
local prefix, tenant, id, operation, kinds = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local reason, actor, trace = ARGV[6], ARGV[7], ARGV[8]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local before = repeated_count(k, operation)
if before then
  return before
end
local for_owner = string.match(kinds, '\n.*')
local refusal = moved_error(k)
if refusal or redis.call('EXISTS', session, k.token) == 0 then
  return refusal or (for_owner and redis.error_reply('NOTFOUND')) or 0
end
-- The tokens of a damaged record go as well; at one owner's word those of his own.
local core = load_core(k)
local whose = core or { owner = redis.pcall('HGET', session, 'owner') }
refusal = kind_error(whose, core and kinds or for_owner or '')
if refusal then
  return refusal
end

local count = redis.pcall('ZCOUNT', k.tokens, '(' .. text(now), '+inf')
count = type(count) == 'number' and count or 0
drop_tokens(k)
remember_count(k, operation, now, count)
if count > 0 then
  emit(k, 'token_revoked', core and core.kind or '', core and text(core.version) or '0', now, actor, trace,
    cjson.encode({ revoked = count, reason = reason }), '')
end
return count
