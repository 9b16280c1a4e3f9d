-- What a token opens, counted where the tenant has a rate; and where it is valid and sessions slide, a slide of its
-- session's deadline, as a sliding `get` does.
-- KEYS[1]  token      hash    what is known of the token
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[4]  print      string  the hash of the token and the client's fingerprint; '' for none
-- ARGV[5]  gain       ratio   of the TTL that the deadline must gain for anything to be written; '' where none slides
-- ARGV[6]  grace      ms
-- ARGV[7]  event      0|1     whether to tell the outbox
-- ARGV[8]  actor      string
-- ARGV[9]  trace      string
-- Returns  {{session, kind, print}; {} for another key, the record: {field, value, ...}, TIME}
-- Errors   RATE
-- @include include/keys
-- @include include/record
-- @include include/slide
-- @include include/event
-- @include include/limit
-- @include include/keep
local token = KEYS[1]
local prefix, tenant, kinds, print, gain = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local grace, tells, actor, trace = tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8], ARGV[9]

local found = redis.pcall('HMGET', token, 'session', 'kind', 'print')
local k = session_keys(prefix, tenant, found[1] or 'none')
local now = now_ms()
local core = load_live(k, now, kinds)
local limits = limits_of(k)
local limited = pass(k, limits, core)
if limited then
  return limited
end
if gain and core and found[2] == 'access' and (found[3] == '' or found[3] == print) then
  local _, moved = slide(k, core, now, grace, math.floor(gain * (core.ttl or 0)))
  keep_place(k, limits, now, 0, core.owner)
  if moved and tells then
    emit(k, 'touched', core.kind, core.version, now, actor, trace, '', '')
  end
end
return { found.err and {} or found, redis.pcall('HGETALL', k.session), redis.call('TIME') }
