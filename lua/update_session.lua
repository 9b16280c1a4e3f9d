-- Changes named fields of a live session: against a version, or just those fields.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  what the caller may write to: see kind_error
-- ARGV[6]  expected   count   the version it must have; '' for any
-- ARGV[7]  status     string  the new status; '' to leave it
-- ARGV[8]  allowed    string  what may become it: see transition_error
-- ARGV[9]  slide      0|1     whether the write moves the deadline
-- ARGV[10] grace      ms
-- ARGV[11] actor      string
-- ARGV[12] trace      string
-- ARGV[13] changes    JSON    the changed fields, for the event
-- ARGV[14] cleared    count   how many field names follow that become empty
-- ARGV[15...] field           those names
-- ARGV[...] field, value      fields and their new values, encoded
-- Returns  the record: {field, value, ...}
-- Errors   NOTFOUND, OWNER, KIND, ENDED, CORRUPT, CONFLICT, TRANSITION, MOVED, RATE, ROOM
-- @include include/keys
-- @include include/operation
-- @include include/whole
-- @include include/move
-- @include include/event
-- @include include/room
-- @include include/keep
-- @include include/sliding
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, expected, status, allowed, slides = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1'
local grace, actor, trace, changes = tonumber(ARGV[10]), ARGV[11], ARGV[12], ARGV[13]
local cleared = tonumber(ARGV[14])
local first_pair = 15 + cleared

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if is_repeat(k, operation) then
  return redis.call('HGETALL', session)
end
local function shift_tally(kind, from, to)
  -- @include include/tally
  tally(k, 'shift|', kind, from, -1)
  tally(k, 'shift|', kind, to, 1)
end
local core, refusal = load_live_whole(k, now, kinds)
refusal = refusal or version_error(core, expected)
local moves_status = not refusal and status ~= '' and status ~= core.status
if moves_status then
  refusal = transition_error(core, status, allowed)
end
local write, names, new, before, bytes = {}, {}, {}, {}, 0
if core then
  for i = 15, first_pair - 1 do
    names[#names + 1] = ARGV[i]
    new[ARGV[i]] = false
  end
  for i = first_pair, #ARGV, 2 do
    local name, value = ARGV[i], ARGV[i + 1]
    write[#write + 1] = name
    write[#write + 1] = value
    new[name] = value
  end
  for name, value in pairs(new) do
    local old = held_text(core, name)
    if value ~= old then
      before[name] = old
      bytes = bytes + (value and #name + #value or 0) - (old and #name + #old or 0)
    end
  end
end
local owner = core and (before.owner == nil and core.owner or new.owner or '')
local limits = limits_of(k)
local limited = limits and not refusal and room_error(k, limits,
  { sessions = 0, owner_sessions = owner ~= core.owner and 1 or 0, owner = owner, bytes = bytes })
limited = limited or pass(k, limits, core)
if limited or refusal then
  return limited or refusal
end

local version = core.version + 1
write[#write + 1] = 'version'
write[#write + 1] = text(version)
write[#write + 1] = 'updated_at_ms'
write[#write + 1] = stamp(core, now)
if moves_status then
  write[#write + 1] = 'status'
  write[#write + 1] = status
  before.status = core.status
end
local moves = {}
for name, old in pairs(before) do
  local spec = spec_of(core.indexes, name)
  if spec then
    moves[#moves + 1] = { spec, old, new[name] }
  end
end
local created = text(core.created)
local slide_with, place_deadline, deadline
if slides then
  slide_with, place_deadline = sliding()
  deadline = slide_with(core, now, write, before)
end

redis.call('HSET', session, unpack(write))
patch(core, write)
if cleared > 0 then
  redis.call('HDEL', session, unpack(names))
  drop(core, names)
end
for _, move in ipairs(moves) do
  index_move(k, move[1], move[2], move[3], created)
end
if moves_status then
  local statuses = k.index .. 'status:' .. core.kind .. ':'
  redis.call('ZREM', statuses .. core.status, id)
  redis.call('ZADD', statuses .. status, created, id)
end
redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
if deadline then
  place_deadline(k, deadline, grace, core.logs)
end
keep_place(k, limits, now, bytes, owner)
remember(k, operation, now)
emit(k, 'updated', core.kind, version, now, actor, trace, changes, told(before))
if before.client_type ~= nil then
  shift_tally(core.kind, core.client_type, new.client_type or '')
end
return core.flat
