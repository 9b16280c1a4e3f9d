-- What a token opens, counted where the tenant has a rate; and where it is valid and sessions slide, a slide of its
-- session's deadline, as a sliding `get` does.
-- KEYS[1]  token      hash    the tokens of the session that the token names
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string  that session's
-- ARGV[4]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[5]  hash       string  the token's own
-- ARGV[6]  print      string  the hash of the token and the client's fingerprint; '' for none
-- ARGV[7]  gain       ratio   of the TTL that the deadline must gain for anything to be written; '' where none slides
-- ARGV[8]  grace      ms
-- ARGV[9]  event      0|1     whether to tell the outbox
-- ARGV[10] actor      string
-- ARGV[11] trace      string
-- Returns  {what is known of the token, or false, the record: {field, value, ...}, TIME}
-- Errors   RATE
-- @include include/keys
-- @include include/record
-- @include include/slide
-- @include include/token
-- @include include/event
-- @include include/limit
local token = KEYS[1]
local prefix, tenant, id, kinds, hash, print = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local gain, grace, tells, actor, trace = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1', ARGV[10], ARGV[11]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local told = redis.pcall('HGET', token, hash)
local found = token_of({ token = token }, hash)
local opens = found and found.over > now
local core = live_core(now, kinds, load_core(k))
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/pass
  limited = pass(k, limits, opens and core or nil) -- an id alone is no reason to count a call against its owner
end
if limited then
  return limited
end
if gain and core and opens and found.kind == 'access' and (found.rest == '' or found.rest == print) then
  local _, moved = slide(k, core, now, grace, math.floor(gain * (core.ttl or 0)))
  if limits and limits.places then
    -- @include include/keep
    keep_place(k, now, 0, core.owner)
  end
  if moved and tells then
    emit(k, 'touched', core.kind, text(core.version), now, actor, trace, '', '')
  end
end
return { type(told) == 'string' and told, redis.pcall('HGETALL', k.session), redis.call('TIME') }
