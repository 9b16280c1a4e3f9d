-- Revokes a token with all that descend from the same first pair. One that opens nothing is none to revoke, nor
-- is one that another owner's session has.
-- KEYS[1]  token      hash    what is known of the token
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  operation  string  this write's random id
-- ARGV[4]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[5]  actor      string
-- ARGV[6]  trace      string
-- Returns  how many tokens could be used until now
-- Errors   KIND, CORRUPT, MOVED
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/token
-- @include include/event
local token = KEYS[1]
local prefix, tenant, operation, kinds, actor, trace = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local found = redis.pcall('HMGET', token, 'session', 'family')
local k = session_keys(prefix, tenant, found[1] or 'none')
local now = now_ms()
local before = repeated_count(k, operation)
if before then
  return before
end
local refusal = moved_error(k)
if refusal or not (found[1] and found[2]) then
  return refusal or 0
end
local core, damage = load_core(k)
refusal = damage or (core and kind_error(core, kinds))
if refusal then
  return string.find(refusal.err, '%f[%u]OWNER') and 0 or refusal
end

local count = drop_tokens(k, found[2])
redis.call('DEL', token)
remember_count(k, operation, now, count)
emit(k, 'token_revoked', core and core.kind or '', core and core.version or 0, now, actor, trace,
  cjson.encode({ family = found[2], revoked = count, reason = 'token' }), '')
return count
