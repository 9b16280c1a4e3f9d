-- Gives a live session another TTL, from now on, or none.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  what the caller may write to: see kind_error
-- ARGV[6]  ttl        ms      '' for a session without an end (its max_lifetime still holds)
-- ARGV[7]  grace      ms
-- ARGV[8]  actor      string
-- ARGV[9]  trace      string
-- ARGV[10] changes    JSON    the changed fields, for the event
-- Returns  the record: {field, value, ...}
-- Errors   NOTFOUND, OWNER, KIND, ENDED, CORRUPT, RATE
-- @include include/keys
-- @include include/operation
-- @include include/whole
-- @include include/deadline
-- @include include/event
-- @include include/told
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, ttl, grace = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local actor, trace, changes = ARGV[8], ARGV[9], ARGV[10]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if redis.call('ZSCORE', k.operations, operation) then
  return redis.call('HGETALL', session)
end
local core, refusal = live_core(now, kinds, load_whole(k))
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/pass
  limited = pass(k, limits, core)
end
if limited or not core then
  return limited or refusal
end

local deadline = deadline_from(now, ttl, core.created, core.max_lifetime)
local version = text(core.version + 1)
local write = { 'version', version, 'updated_at_ms', stamp(core, now), 'accessed_at_ms', text(now) }
local clear = {}
local function place(name, value)
  if value then
    write[#write + 1] = name
    write[#write + 1] = text(value)
  elseif held_text(core, name) then
    clear[#clear + 1] = name
  end
end
local before = { ttl_ms = held_text(core, 'ttl_ms'), accessed_at_ms = held_text(core, 'accessed_at_ms'),
  expires_at_ms = held_text(core, 'expires_at_ms') }
place('ttl_ms', ttl)
place('expires_at_ms', deadline)
redis.call('HSET', session, unpack(write))
patch(core, write)
if #clear > 0 then
  -- @include include/drop
  redis.call('HDEL', session, unpack(clear))
  drop(core, clear)
end
place_deadline(k, deadline, grace, core.logs)
redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
if limits and limits.places then
  -- @include include/keep
  keep_place(k, now, 0, core.owner)
end
remember(k, operation, now)
emit(k, 'updated', core.kind, version, now, actor, trace, changes, told(before))
return core.flat
