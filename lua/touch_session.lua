-- Notes that a live session was used, and slides its deadline. With a least gain it is what a sliding `get` calls, and
-- most reads then write nothing.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  kinds      string  what the caller may write to: see kind_error
-- ARGV[5]  gain       ratio   of the TTL that the deadline must gain for anything to be written
-- ARGV[6]  grace      ms
-- ARGV[7]  event      0|1     whether to tell the outbox
-- ARGV[8]  actor      string
-- ARGV[9]  trace      string
-- ARGV[10] reply      string  'deadline', or 'record', which returns an ended session as it is
-- Returns  'deadline': ms, or false for a session without one; 'record': {field, value, ...}
-- Errors   NOTFOUND, OWNER, KIND, ENDED, CORRUPT, RATE
-- @include include/keys
-- @include include/record
-- @include include/slide
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]
local kinds, gain, grace, tells = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local actor, trace, whole = ARGV[8], ARGV[9], ARGV[10] == 'record'

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local core, refusal
if whole then
  -- @include include/whole
  core, refusal = live_core(now, kinds, load_whole(k))
else
  core, refusal = live_core(now, kinds, load_core(k))
end
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/pass
  limited = pass(k, limits, core)
end
if limited then
  return limited
end
if not core then
  if whole and string.sub(refusal.err, 1, 5) == 'ENDED' then
    return redis.call('HGETALL', session)
  end
  return refusal
end
local deadline, write = slide(k, core, now, grace, math.floor(gain * (core.ttl or 0)))
-- Twice within a millisecond is once: otherwise `updated_at`, which each touch moves on, would run ahead of the clock.
if not write and gain == 0 and core.accessed ~= now then
  write = { 'accessed_at_ms', text(now), 'updated_at_ms', stamp(core, now, 1) }
  redis.call('HSET', session, unpack(write))
  redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
end
if limits and limits.places then
  -- @include include/keep
  keep_place(k, now, 0, core.owner)
end
if tells and (write or gain == 0) then
  -- @include include/event
  emit(k, 'touched', core.kind, text(core.version), now, actor, trace, '', '')
end
if whole then
  -- @include include/whole
  patch(core, write or {})
  return core.flat
end
return deadline or false
