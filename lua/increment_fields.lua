-- Adds to counters of a live session, without a read before.
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
-- ARGV[10...] field, amount    counters and what to add to each
-- Returns  {value, ...} as text, in the order of the fields
-- Errors   NOTFOUND, OWNER, KIND, ENDED, CORRUPT, RANGE, RATE
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/event
-- @include include/told
-- @include include/integer
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, slides, grace, actor, trace = ARGV[5], ARGV[6] == '1', tonumber(ARGV[7]), ARGV[8], ARGV[9]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local names = {}
for i = 10, #ARGV, 2 do
  names[#names + 1] = ARGV[i]
end
if redis.call('ZSCORE', k.operations, operation) then
  return redis.call('HMGET', session, unpack(names))
end
local core, refusal = live_core(now, kinds, load_core(k, names))
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/pass
  limited = pass(k, limits, core)
end
if limited or not core then
  return limited or refusal
end

local version, values, changes = text(core.version + 1), {}, {}
local write = { 'version', version, 'updated_at_ms', stamp(core, now) }
local before, bytes = {}, 0 -- a few digits; a counter is not refused for them
for i = 1, #names do
  local old = core.more[CORE + i]
  local current = integer(old or '0')
  if not current then
    return redis.error_reply('CORRUPT ' .. names[i])
  end
  local value = current + tonumber(ARGV[9 + 2 * i])
  if math.abs(value) > EXACT then
    return redis.error_reply('RANGE ' .. names[i])
  end
  values[i] = text(value)
  write[#write + 1] = names[i]
  write[#write + 1] = values[i]
  changes[i] = '"' .. names[i] .. '":' .. values[i]
  before[names[i]] = old
  bytes = bytes + #values[i] - (old and #old or -#names[i])
end
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
  keep_place(k, now, bytes, core.owner)
end
remember(k, operation, now)
emit(k, 'updated', core.kind, version, now, actor, trace, '{' .. table.concat(changes, ',') .. '}',
  told(before))
return values
