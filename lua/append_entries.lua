-- Appends entries to a log of a live session, without a read before.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  what the caller may write to: see kind_error
-- ARGV[6]  slide      0|1     whether the write moves the deadline
-- ARGV[7]  grace      ms
-- ARGV[8]  actor      string
-- ARGV[9]  trace      string
-- ARGV[10] log        string  the log's name
-- ARGV[11] keep       string  how many entries of a bounded log stay once the archive has them; '' as the record says
-- ARGV[12] limit      count   how long the log may get
-- ARGV[13...] entry   JSON    the entries, in order
-- Returns  how many entries there ever were, with these
-- Errors   NOTFOUND, OWNER, KIND, ENDED, CORRUPT, FULL, MOVED, RATE, ROOM
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/event
-- @include include/told
-- @include include/limit
-- @include include/log
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, slides, grace, actor, trace = ARGV[5], ARGV[6] == '1', tonumber(ARGV[7]), ARGV[8], ARGV[9]
local name, keep, limit = ARGV[10], ARGV[11], tonumber(ARGV[12])

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if redis.call('ZSCORE', k.operations, operation) then
  return entries_ever(k, name)
end
local core, refusal = live_core(now, kinds, load_core(k, log_fields(name)))
local entries, bytes = {}, 0
for i = 13, #ARGV do
  entries[#entries + 1] = ARGV[i]
  bytes = bytes + #ARGV[i]
end
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/room
  -- @include include/pass
  limited = core and room_error(k, limits, { sessions = 0, owner_sessions = 0, owner = '', bytes = bytes })
    or pass(k, limits, core)
end
if limited or not core then
  return limited or refusal
end
local log, damage = log_of(k, name, core.more, CORE)
refusal = damage or full_error(log, #entries, keep, limit)
if refusal then
  return refusal
end

local version = text(core.version + 1)
local write = { 'version', version, 'updated_at_ms', stamp(core, now) }
local before = { ['_log:' .. name] = text(log.first + log.length) }
push(k, core, log, entries, keep, limit, grace, write)
local deadline
if slides then
  -- @include include/slide
  deadline = slide_with(core, now, write, before)
end
redis.call('HSET', session, unpack(write))
redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
if deadline then
  -- @include include/deadline
  place_deadline(k, deadline, grace, core.logs)
end
if limits and limits.places then
  -- @include include/keep
  keep_place(k, now, bytes - log.freed, core.owner)
end
remember(k, operation, now)
emit(k, 'updated', core.kind, version, now, actor, trace,
  string.format('{"%s":{"appended":%d,"length":%.0f}}', name, #entries, log.total), told(before))
return log.total
