-- Exchanges a refresh token for a new pair. It is remembered as used until its time is over: whoever presents it once
-- more has a copy, so then its whole family goes.
-- KEYS[1]  token      hash    the tokens of the session that the token names
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string  that session's
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[6]  hash       string  the token's own
-- ARGV[7]  print      string  the hash of it and the client's fingerprint; '' for none
-- ARGV[8]  limit      count   how many tokens a session may have, used ones counted
-- ARGV[9]  actor      string
-- ARGV[10] trace      string
-- ARGV[11] access     string  the new access token's hash
-- ARGV[12] print      string  the hash of it and the fingerprint; '' for none
-- ARGV[13] refresh    string  the new refresh token's hash
-- ARGV[14] print      string  the same of it
-- Returns  {when the access token is over, ms, and when the refresh token}
-- Errors   TOKEN, KIND, CORRUPT, RATE
-- @include include/keys
-- @include include/operation
-- @include include/integer
-- @include include/record
-- @include include/grant
-- @include include/limit
local token = KEYS[1]
local prefix, tenant, id, operation, kinds, hash, print = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local limit, actor, trace = tonumber(ARGV[8]), ARGV[9], ARGV[10]
local access, refresh = { hash = ARGV[11], print = ARGV[12] }, { hash = ARGV[13], print = ARGV[14] }
local REUSED, CROWDED = ':reused', ':limit'

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local done_at = redis.call('ZSCORE', k.operations, operation)
if done_at then
  return granted(k, access.hash, refresh.hash, done_at)
end
for _, outcome in ipairs({ REUSED, CROWDED }) do
  if redis.call('ZSCORE', k.operations, operation .. outcome) then
    return redis.error_reply('TOKEN ' .. string.sub(outcome, 2))
  end
end
local found = token_of({ token = token }, hash)
if not found or found.over <= now then
  return redis.error_reply('TOKEN unknown')
end
local core, refusal = live_core(now, kinds, load_core(k))
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/pass
  limited = pass(k, limits, core)
end
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
local f = family_of(k, found.family)
if not f or has_ended(f) then
  return redis.error_reply('TOKEN unknown') -- it ended, and what is left of it goes yet; or other hands wrote it
end
if found.kind == 'used' then
  local count = drop_family(k, f, now)
  emit(k, 'token_reused', core.kind, text(core.version), now, actor, trace,
    cjson.encode({ family = f.name, revoked = count }), '')
  remember(k, operation .. REUSED, now)
  return redis.error_reply('TOKEN reused')
end
if found.kind ~= 'refresh' then
  return redis.error_reply('TOKEN kind')
end
if found.rest ~= '' and found.rest ~= print then
  return redis.error_reply('TOKEN fingerprint')
end
access.ttl, refresh.ttl = positive(f.access_ttl), positive(f.refresh_ttl)
if not (access.ttl and refresh.ttl and f.refresh == hash) then
  return redis.error_reply('TOKEN unknown') -- other hands wrote it
end
-- Families with so many used tokens are refreshed all the time; forgetting some of those would hide their reuse.
local largest_of_all = in_the_way(k, now, 1, limit)
if largest_of_all and largest_of_all.name == f.name then
  tell_revoked(k, core, now, actor, trace, f.name, drop_family(k, largest_of_all, now), 'limit')
  remember(k, operation .. CROWDED, now)
  return redis.error_reply('TOKEN limit')
end
if found.rest == '' then
  access.print, refresh.print = '', ''
end

found.hash = hash
f = family_of(k, f.name) -- some of it may have been over
grant(k, core, now, f, { access = access, refresh = refresh }, found)
make_room(k, core, now, f.member, limit, actor, trace)
remember(k, operation, now)
emit(k, 'token_refreshed', core.kind, text(core.version), now, actor, trace, cjson.encode({ family = f.name }), '')
return granted(k, access.hash, refresh.hash, now)
