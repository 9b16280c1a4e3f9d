-- Issues a pair of tokens to a live session, the first of a new family.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[6]  family     string  the new family's name
-- ARGV[7]  limit      count   how many tokens a session may have, used ones counted
-- ARGV[8]  actor      string
-- ARGV[9]  trace      string
-- ARGV[10] access     string  the access token's hash
-- ARGV[11] print      string  the hash of it and the client's fingerprint; '' for any client
-- ARGV[12] ttl        ms
-- ARGV[13] refresh    string  the refresh token's hash; '' for none
-- ARGV[14] print      string  the same of the refresh token
-- ARGV[15] ttl        ms
-- Returns  {when the access token is over, ms, and when the refresh token, or false}
-- Errors   NOTFOUND, KIND, ENDED, CORRUPT, RATE
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/grant
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, operation, kinds = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local family, limit, actor, trace = ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
local access = { hash = ARGV[10], print = ARGV[11], ttl = tonumber(ARGV[12]) }
local refresh = { hash = ARGV[13], print = ARGV[14], ttl = tonumber(ARGV[15]) }

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local done_at = redis.call('ZSCORE', k.operations, operation)
if done_at then
  return granted(k, access.hash, refresh.hash, done_at)
end
local core, refusal = live_core(now, kinds, load_core(k))
local limits = limits_of(k)
if limits then
  -- @include include/pass
  refusal = pass(k, limits, core) or refusal
end
refusal = refusal or listing_error(k)
if refusal then
  return refusal
end

local f = { name = family, since = text(now), access = NONE, refresh = NONE, refresh_ttl = '0', oldest = NONE,
  size = 0 }
grant(k, core, now, f, { access = access, refresh = refresh })
make_room(k, core, now, f.member, limit, actor, trace)
remember(k, operation, now)
emit(k, 'token_issued', core.kind, text(core.version), now, actor, trace,
  cjson.encode({ family = family, tokens = refresh.hash ~= '' and 2 or 1 }), '')
return granted(k, access.hash, refresh.hash, now)
