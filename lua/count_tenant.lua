-- What is counted of a tenant in one place, all of it at one moment. Writes nothing.
-- KEYS[1]  stats      hash    the counts of its sessions
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  most       count   fields and kinds to read at most; what has more is left out
-- ARGV[4]  sampled    count   records to ask for their memory, of each kind and status; the newest
-- Returns  {its counts: {field, value, ...}, its clients' calls: {field, value, ...}, {kind, live, all, bytes of those
--          asked, how many, ...}, the bytes of live sessions where kept, else false, how many wait to be claimed (an
--          estimate beyond DUE of a shared partition), the clock in ms, {a key of another type or too large, ...}}
-- Errors   none
-- @include include/clock
-- @include include/keys
-- @include include/statuses
-- @include include/record
-- @include include/index
-- @include include/place
local stats = KEYS[1]
local prefix, tenant, most, sampled = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local DUE = 200

local k = session_keys(prefix, tenant, '')
local odd = {}
local function is_sized(size, key)
  if type(size) ~= 'number' or size > most then
    odd[#odd + 1] = key
    return false
  end
  return size > 0
end

local function bytes_at(id)
  local session = k.session .. id
  local bytes = redis.pcall('MEMORY', 'USAGE', session, 'SAMPLES', 0) -- all of its fields, not five
  if type(bytes) ~= 'number' then
    return nil
  end
  local logs = redis.pcall('HGET', session, '_logs')
  for name in string.gmatch(type(logs) == 'string' and logs or '', '[^,]+') do
    local more = redis.pcall('MEMORY', 'USAGE', session_keys(prefix, tenant, id).log .. name)
    bytes = bytes + (type(more) == 'number' and more or 0)
  end
  return bytes
end

local function sample(index, found)
  for _, id in ipairs(redis.call('ZREVRANGE', index, 0, sampled - 1)) do
    local bytes = bytes_at(id)
    if bytes then
      found.bytes, found.count = found.bytes + bytes, found.count + 1
    end
  end
end

-- In a partition of its own all are the tenant's. Else the first ones are looked at.
local function overdue()
  local count = redis.pcall('ZCOUNT', k.deadlines, '-inf', text(now_ms()))
  if type(count) ~= 'number' or count == 0 or string.find(prefix, '^sojourn:{%d%d%d') then
    return type(count) == 'number' and count or 0
  end
  local own, due = 0, redis.call('ZRANGE', k.deadlines, 0, math.min(count, DUE) - 1)
  for _, member in ipairs(due) do
    own = own + (string.sub(member, 1, #tenant + 1) == tenant .. '/' and 1 or 0)
  end
  return math.floor(own * count / #due + 0.5)
end

local counts = is_sized(redis.pcall('HLEN', stats), stats) and redis.call('HGETALL', stats) or {}
local calls = is_sized(redis.pcall('HLEN', k.calls), k.calls) and redis.call('HGETALL', k.calls) or {}
local kinds = is_sized(redis.pcall('SCARD', k.kinds), k.kinds) and redis.call('SMEMBERS', k.kinds) or {}
local told = {}
for _, kind in ipairs(kinds) do
  local live, all, found = 0, 0, { bytes = 0, count = 0 }
  for _, statuses in ipairs({ LIVE, ENDED }) do
    for status in pairs(statuses) do
      local index = status_index(k, kind, status)
      local size = redis.pcall('ZCARD', index)
      size = type(size) == 'number' and size or 0
      live, all = live + (LIVE[status] and size or 0), all + size
      if size > 0 then
        sample(index, found)
      end
    end
  end
  for _, each in ipairs({ kind, live, all, found.bytes, found.count }) do
    told[#told + 1] = each
  end
end
local kept = redis.pcall('HGET', k.places, TOTAL)
return { counts, calls, told, type(kept) == 'string' and kept, overdue(), now_ms(), odd }
