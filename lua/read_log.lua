-- A stretch of a log, with what tells whether it may be read. All is of one moment, for a bounded log moves on. Of a
-- long stretch it gives the beginning.
-- KEYS[1]  session    hash    the session's record
-- KEYS[2]  log        list    its log
-- ARGV[1]  name       string  the log's name
-- ARGV[2]  start      count   position of the first entry, counted from the session's very first
-- ARGV[3]  count      string  how many positions from there on; '' for all
-- ARGV[4]  whole      0|1     whether to return the whole record
-- ARGV[5]  prefix     string  the partition's prefix; '' for housekeeping, which counts as no call
-- ARGV[6]  tenant     string
-- ARGV[7]  most       string  how many entries, and about how many bytes of them, it gives at most: "2000 500000"
-- Returns  {{field, value, ...}, now ms, position of the first entry that is there, how many are there, {entry, ...}}
-- Errors   CORRUPT, RATE
-- @include include/keys
-- @include include/clock
-- @include include/integer
-- @include include/record
-- @include include/limit
local session, log = KEYS[1], KEYS[2]
local name, start, count, whole = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local prefix, tenant, most = ARGV[5], ARGV[6], ARGV[7]

local AT_ONCE = 50
local STATE = { 'kind', 'status', 'expires_at_ms', 'owner' }
local kind = redis.call('TYPE', log).ok
if kind ~= 'none' and kind ~= 'list' then
  return redis.error_reply('CORRUPT ' .. name)
end
if prefix ~= '' then
  local k, owner = session_keys(prefix, tenant, ''), redis.pcall('HGET', session, 'owner')
  local limits = limits_of(k)
  if limits then
    -- @include include/pass
    local limited = pass(k, limits, { owner = type(owner) == 'string' and owner or '' })
    if limited then
      return limited
    end
  end
end
local record = {}
if whole then
  record = redis.call('HGETALL', session)
else
  for i, value in ipairs(redis.call('HMGET', session, unpack(STATE))) do
    if value then
      record[#record + 1] = STATE[i]
      record[#record + 1] = value
    end
  end
end
local first = integer(redis.call('HGET', session, '_first:' .. name) or '0')
if not first or first < 0 then
  return redis.error_reply('CORRUPT _first:' .. name)
end
local most_entries, room = string.match(most, '^(%d+) (%d+)$')
local length, entries = redis.call('LLEN', log), {}
local from, to = math.max(start - first, 0), math.min(count and start + count - first or length, length) - 1
to, room = math.min(to, from + most_entries - 1), tonumber(room)
while from <= to and room > 0 do
  for _, entry in ipairs(redis.call('LRANGE', log, text(from), text(math.min(from + AT_ONCE - 1, to)))) do
    entries[#entries + 1] = entry
    room = room - #entry
  end
  from = from + AT_ONCE
end
return { record, text(now_ms()), text(first), length, entries }
