-- Notes executions of tools with a live session: appends them to its log and counts them, in all and per tool.
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
-- ARGV[11] keep       count   how many entries stay once the archive has them
-- ARGV[12] limit      count   how long the log may get
-- ARGV[13] tools      count   how many tools are counted apart; further ones together, as ''
-- ARGV[14] buckets    count   of durations
-- ARGV[15] used       count   tools that were used
-- ARGV[16...] tool, figures    of each of those; its figures are "number amount", with commas between: what is added to
--          which: 1 total, 2 failed, 3 duration us, then the buckets. Then each execution's entry, a JSON object
--          without its first brace: the script puts before it when that was
-- Returns  how many executions the session has had, as text
-- Errors   NOTFOUND, OWNER, KIND, ENDED, CORRUPT, RANGE, MOVED, RATE, ROOM
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/event
-- @include include/told
-- @include include/log
-- @include include/moment
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, slides, grace, actor, trace = ARGV[5], ARGV[6] == '1', tonumber(ARGV[7]), ARGV[8], ARGV[9]
local name, keep, limit = ARGV[10], ARGV[11], tonumber(ARGV[12])
local most_tools, buckets, used = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local FIRST, EACH, FIGURES = 16, 2, 3 + buckets
local READ_AT_ONCE = 1000
local COUNTERS = { 'executions', 'failed_executions', 'execution_time_us' }

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if redis.call('ZSCORE', k.operations, operation) then
  return redis.call('HGET', session, COUNTERS[1]) or '0'
end
local core, refusal = live_core(now, kinds, load_core(k))
local head, bytes, entries = '{"at":"' .. iso_from(now) .. '",', 0, {}
for i = FIRST + used * EACH, #ARGV do
  entries[#entries + 1] = head .. ARGV[i]
  bytes = bytes + #head + #ARGV[i]
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
local log, damage = load_log(k, name)
if damage then
  return damage
end

local counted, before = { 0, 0, 0 }, { ['_log:' .. name] = text(log.first + log.length) }
local old = redis.call('HMGET', session, COUNTERS[1], COUNTERS[2], COUNTERS[3], '_tools')
local known, figures, names = integer(old[4] or '0') or most_tools, {}, { '_tool:' }
for i = FIRST, FIRST + used * EACH - 1, EACH do
  names[#names + 1] = '_tool:' .. ARGV[i]
end
local packed = {}
for i = 1, #names, READ_AT_ONCE do -- Lua hands over no more than some 8,000 at a time
  for n, each in ipairs(redis.call('HMGET', session, unpack(names, i, math.min(i + READ_AT_ONCE - 1, #names)))) do
    packed[i + n - 1] = each
  end
end
local pattern = '^' .. string.rep('(%d+) ', FIGURES - 1) .. '(%d+)$'
local nothing = string.rep('0 ', FIGURES - 1) .. '0'
for i = FIRST, FIRST + used * EACH - 1, EACH do
  local n = 2 + (i - FIRST) / EACH
  if not packed[n] and known < most_tools then
    known = known + 1
  elseif not packed[n] then
    n = 1
  end
  local own = figures[names[n]] or { string.match(packed[n] or nothing, pattern) }
  figures[names[n]] = own
  for number, amount in string.gmatch(ARGV[i + 1], '(%d+) (%d+)') do
    number = tonumber(number)
    own[number] = (own[number] or EXACT + 1) + amount -- damaged: told below
    if number <= #COUNTERS then
      counted[number] = counted[number] + amount
    end
  end
end

local version = text(core.version + 1)
local write = { 'version', version, 'updated_at_ms', stamp(core, now) }
local function field(key, value)
  write[#write + 1] = key
  write[#write + 1] = value
end
for i in ipairs(COUNTERS) do
  local current = integer(old[i] or '0')
  if not current then
    return redis.error_reply('CORRUPT ' .. COUNTERS[i])
  end
  counted[i] = current + counted[i]
  if counted[i] > EXACT then
    return redis.error_reply('RANGE ' .. COUNTERS[i])
  end
  before[COUNTERS[i]] = old[i]
  bytes = bytes + #text(counted[i]) - (old[i] and #old[i] or -#COUNTERS[i])
  field(COUNTERS[i], text(counted[i]))
end
for key, own in pairs(figures) do
  for i, number in pairs(own) do
    if type(number) == 'number' then
      if number > EXACT then
        return redis.error_reply('CORRUPT ' .. key)
      end
      own[i] = text(number)
    end
  end
  field(key, table.concat(own, ' '))
end
if text(known) ~= old[4] then
  field('_tools', text(known))
  field('_counted', table.concat(COUNTERS, ',')) -- these stay with the log where an earlier state is restored
end

push(k, core, log, entries, keep, limit, grace, write)
redis.call('HSET', session, unpack(write))
redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
if slides then
  -- @include include/slide
  slide_told(k, core, now, grace, before)
end
if limits and limits.places then
  -- @include include/keep
  keep_place(k, now, bytes - log.freed, core.owner)
end
remember(k, operation, now)
emit(k, 'updated', core.kind, version, now, actor, trace,
  string.format('{"%s":{"appended":%d,"length":%.0f},"%s":%.0f,"%s":%.0f,"%s":%.0f}', name, #entries, log.total,
    COUNTERS[1], counted[1], COUNTERS[2], counted[2], COUNTERS[3], counted[3]), told(before))
return text(counted[1])
