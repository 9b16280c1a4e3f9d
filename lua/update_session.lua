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
-- @include include/told
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, expected, status, allowed, slides = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1'
local grace, actor, trace, changes = tonumber(ARGV[10]), ARGV[11], ARGV[12], ARGV[13]
local cleared = tonumber(ARGV[14])
local first_pair = 15 + cleared

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if redis.call('ZSCORE', k.operations, operation) then
  return redis.call('HGETALL', session)
end
local core, refusal = live_core(now, kinds, load_whole(k))
refusal = refusal or version_error(core, expected)
local moves_status = not refusal and status ~= '' and status ~= core.status
if moves_status then
  -- @include include/transition
  refusal = transition_error(core, status, allowed)
end
-- What changes: the old texts, those that an index goes by, and by how many bytes the record grows.
local before, moves, bytes, at = {}, {}, 0, core and 15 or #ARGV + 1
local owner, client_type = core and core.owner, core and core.client_type
while at <= #ARGV do
  local name, new = ARGV[at], false
  if at >= first_pair then
    new = ARGV[at + 1]
    at = at + 1
  end
  at = at + 1
  local old = held_text(core, name)
  if new ~= old then
    before[name] = old
    bytes = bytes + (new and #name + #new or 0) - (old and #name + #old or 0)
    local spec = spec_of(core.indexes, name)
    if spec then
      moves[#moves + 1] = { spec, old, new }
    end
    if name == 'owner' then
      owner = new or ''
    elseif name == 'client_type' then
      client_type = new or ''
    end
  end
end
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/room
  -- @include include/pass
  limited = not refusal and room_error(k, limits,
    { sessions = 0, owner_sessions = owner ~= core.owner and 1 or 0, owner = owner, bytes = bytes })
    or pass(k, limits, core)
end
if limited or refusal then
  return limited or refusal
end

local version, created = text(core.version + 1), core.created_text
local write = { 'version', version, 'updated_at_ms', stamp(core, now), unpack(ARGV, first_pair) }
if moves_status then
  write[#write + 1] = 'status'
  write[#write + 1] = status
  before.status = core.status
end
local deadline
if slides then
  -- @include include/slide
  deadline = slide_with(core, now, write, before)
end

redis.call('HSET', session, unpack(write))
patch(core, write)
if cleared > 0 then
  -- @include include/drop
  local names = { unpack(ARGV, 15, first_pair - 1) }
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
  -- @include include/deadline
  place_deadline(k, deadline, grace, core.logs)
end
if limits and limits.places then
  -- @include include/keep
  keep_place(k, now, bytes, owner)
end
remember(k, operation, now)
emit(k, 'updated', core.kind, version, now, actor, trace, changes, told(before))
if client_type ~= core.client_type then
  -- @include include/tally
  tally(k, 'shift|', core.kind, core.client_type, '-1')
  tally(k, 'shift|', core.kind, client_type, '1')
end
return core.flat
