-- Revokes a token with all that descend from the same first pair. One that opens nothing is none to revoke, nor
-- is one that another owner's session has.
-- KEYS[1]  token      hash    the tokens of the session that the token names
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string  that session's
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[6]  hash       string  the token's own
-- ARGV[7]  actor      string
-- ARGV[8]  trace      string
-- Returns  how many tokens could be used until now
-- Errors   KIND, CORRUPT, MOVED
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/kind
-- @include include/token
-- @include include/event
local token = KEYS[1]
local prefix, tenant, id, operation, kinds = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local hash, actor, trace = ARGV[6], ARGV[7], ARGV[8]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local before = repeated_count(k, operation)
if before then
  return before
end
local refusal, found = moved_error(k), token_of({ token = token }, hash)
if refusal or not found or found.over <= now then
  return refusal or 0
end
local core, damage = load_core(k)
refusal = damage or (core and kind_error(core, kinds))
if refusal then
  return string.find(refusal.err, '%f[%u]OWNER') and 0 or refusal
end
refusal = listing_error(k)
local f = not refusal and family_of(k, found.family)
if not f or has_ended(f) then
  return refusal or 0
end

local count = drop_family(k, f, now)
remember_count(k, operation, now, count)
emit(k, 'token_revoked', core and core.kind or '', core and text(core.version) or '0', now, actor, trace,
  cjson.encode({ family = f.name, revoked = count, reason = 'token' }), '')
return count
