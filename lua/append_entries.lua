-- Appends entries to a log of a live session, without a read before.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[6]  slide      0|1     whether the write moves the deadline
-- ARGV[7]  grace      ms
-- ARGV[8]  actor      string
-- ARGV[9]  trace      string
-- ARGV[10] log        string  the log's name
-- ARGV[11] limit      count   how long the log may get
-- ARGV[12...] entry   JSON    the entries, in order
-- Returns  how long the log is now
-- Errors   NOTFOUND, KIND, ENDED, CORRUPT, FULL, RATE, ROOM
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/event
-- @include include/slide
-- @include include/room
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, slides, grace, actor, trace = ARGV[5], ARGV[6] == '1', tonumber(ARGV[7]), ARGV[8], ARGV[9]
local name, limit = ARGV[10], tonumber(ARGV[11])

local k = session_keys(prefix, tenant, id)
local log = k.log .. name
local now = now_ms()
local kind_of_key = redis.call('TYPE', log).ok
if kind_of_key ~= 'none' and kind_of_key ~= 'list' then
  return redis.error_reply('CORRUPT ' .. name)
end
if is_repeat(k, operation) then
  return redis.call('LLEN', log)
end
local core, refusal = load_live(k, now, kinds)
local bytes = 0
for i = 12, #ARGV do
  bytes = bytes + #ARGV[i]
end
local limits = limits_of(k)
local limited = core and room_error(k, limits, { sessions = 0, owner_sessions = 0, owner = '', bytes = bytes })
limited = limited or pass(k, limits, core)
if limited or not core then
  return limited or refusal
end
local length, added = redis.call('LLEN', log), #ARGV - 11
local before = { ['_log:' .. name] = text(length) }
if length + added > limit then
  return redis.error_reply(string.format('FULL %d %d', length, limit))
end

for i = 12, #ARGV do
  length = redis.call('RPUSH', log, ARGV[i])
end
if not string.find(',' .. core.logs .. ',', ',' .. name .. ',', 1, true) then
  core.logs = core.logs == '' and name or core.logs .. ',' .. name
  redis.call('HSET', session, '_logs', core.logs)
end
if core.expires then
  redis.call('PEXPIREAT', log, text(core.expires + grace))
end
redis.call('HSET', session, 'version', text(core.version + 1), 'updated_at_ms', stamp(core, now))
redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
if slides then
  slide_told(k, core, now, grace, before)
end
keep_place(k, limits, now, bytes, core.owner)
remember(k, operation, now)
emit(k, 'updated', core.kind, core.version + 1, now, actor, trace,
  string.format('{"%s":{"appended":%d,"length":%d}}', name, added, length), told(before))
return length
