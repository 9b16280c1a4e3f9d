-- Exchanges a refresh token for a new pair. It is remembered as used until its time is over: whoever presents it once
-- more has a copy, so then its whole family goes.
-- KEYS[1]  token      hash    what is known of the token
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  operation  string  this write's random id
-- ARGV[4]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[5]  hash       string  the token's own
-- ARGV[6]  print      string  the hash of it and the client's fingerprint; '' for none
-- ARGV[7]  limit      count   how many tokens a session may have, used ones counted
-- ARGV[8]  actor      string
-- ARGV[9]  trace      string
-- ARGV[10] access     string  the new access token's hash
-- ARGV[11] print      string  the hash of it and the fingerprint; '' for none
-- ARGV[12] refresh    string  the new refresh token's hash
-- ARGV[13] print      string  the same of it
-- Returns  {when the access token is over, ms, and when the refresh token}
-- Errors   TOKEN, KIND, CORRUPT, RATE
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/grant
-- @include include/limit
local token = KEYS[1]
local prefix, tenant, operation, kinds, hash, print = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local limit, actor, trace = tonumber(ARGV[7]), ARGV[8], ARGV[9]
local access, refresh = { hash = ARGV[10], print = ARGV[11] }, { hash = ARGV[12], print = ARGV[13] }
local REUSED, CROWDED = ':reused', ':limit'

local found = redis.pcall('HMGET', token, 'session', 'kind', 'family', 'print', 'expires_at_ms', 'access',
  'access_ttl_ms', 'refresh_ttl_ms', 'since_ms')
local k = session_keys(prefix, tenant, found[1] or 'none')
local now = now_ms()
local done_at = redis.call('ZSCORE', k.operations, operation)
if done_at then
  return granted(k, access.hash, refresh.hash, done_at)
end
for _, outcome in ipairs({ REUSED, CROWDED }) do
  if is_repeat(k, operation .. outcome) then
    return redis.error_reply('TOKEN ' .. string.sub(outcome, 2))
  end
end
local kind, family, own_print, expires = found[2], found[3], found[4], integer(found[5])
if not found[1] or not expires or expires <= now then
  return redis.error_reply('TOKEN unknown')
end
local core, refusal = load_live(k, now, kinds)
local limited = pass(k, limits_of(k), core)
if limited then
  return limited
end
if not core then
  local over = string.find(refusal.err, '%f[%u]NOTFOUND') or string.find(refusal.err, '%f[%u]ENDED')
    or string.find(refusal.err, '%f[%u]OWNER')
  return over and redis.error_reply('TOKEN unknown') or refusal
end
refusal = listing_error(k)
if refusal then
  return refusal
end
if kind == 'used' then
  local count = drop_tokens(k, family)
  emit(k, 'token_reused', core.kind, core.version, now, actor, trace,
    cjson.encode({ family = family, revoked = count }), '')
  remember(k, operation .. REUSED, now)
  return redis.error_reply('TOKEN reused')
end
if kind ~= 'refresh' then
  return redis.error_reply('TOKEN kind')
end
if own_print ~= '' and own_print ~= print then
  return redis.error_reply('TOKEN fingerprint')
end
access.ttl, refresh.ttl = positive(found[7]), positive(found[8])
local since = positive(found[9])
if not (family and own_print and access.ttl and refresh.ttl and since) then
  return redis.error_reply('TOKEN unknown') -- other hands wrote it
end
-- Families with so many used tokens are refreshed all the time; forgetting some of those would hide their reuse.
if is_crowded(k, now, 1, limit) and families(k)[1] == family then
  tell_revoked(k, core, now, actor, trace, family, drop_tokens(k, family), 'limit')
  remember(k, operation .. CROWDED, now)
  return redis.error_reply('TOKEN limit')
end
if own_print == '' then
  access.print, refresh.print = '', ''
end

grant(k, core, now, { family = family, since = since, access = access, refresh = refresh })
redis.call('HSET', token, 'kind', 'used')
redis.call('HDEL', token, 'access', 'access_ttl_ms', 'refresh_ttl_ms')
redis.call('ZREM', k.tokens, family .. ':r:' .. hash, family .. ':a:' .. (found[6] or ''))
redis.call('ZADD', k.tokens, text(expires), family .. ':u:' .. hash)
redis.call('DEL', k.token .. (found[6] or ''))
make_room(k, core, now, family, limit, actor, trace)
remember(k, operation, now)
emit(k, 'token_refreshed', core.kind, core.version, now, actor, trace, cjson.encode({ family = family }), '')
return granted(k, access.hash, refresh.hash, now)
