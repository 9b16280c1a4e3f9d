-- What is counted of a tenant in one place, all of it at one moment. Writes nothing.
-- KEYS[1]  stats      hash    the counts of its sessions
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  most       count   fields and kinds to read at most; what has more is left out
-- ARGV[4]  sampled    count   records to ask for their memory, of each kind and status; the newest
-- Returns  {its counts: {field, value, ...}, those of its clients' calls: {field, value, ...}, {kind, live, all, bytes of
--          those asked, how many, ...}, the bytes of live sessions where kept, else false, how many wait to be claimed
--          (an estimate beyond DUE of a shared partition), the clock in ms, {a key of another type or too large, ...}}
-- Errors   none
-- @include include/clock
-- @include include/keys
-- @include include/record
-- @include include/index
-- @include include/place
local stats = KEYS[1]
local prefix, tenant, most, sampled = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local DUE = 200

local k = session_keys(prefix, tenant, '')
local odd = {}
local function sized(command, key)
  local size = redis.pcall(command, key)
  if type(size) ~= 'number' or size > most then
    odd[#odd + 1] = key
    return 0
  end
  return size
end

local function bytes_at(id)
  local own = session_keys(prefix, tenant, id)
  local bytes = redis.pcall('MEMORY', 'USAGE', own.session)
  if type(bytes) ~= 'number' then
    return nil
  end
  local logs = redis.pcall('HGET', own.session, '_logs')
  for name in string.gmatch(type(logs) == 'string' and logs or '', '[^,]+') do
    local more = redis.pcall('MEMORY', 'USAGE', own.log .. name)
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

local counts = sized('HLEN', stats) > 0 and redis.call('HGETALL', stats) or {}
local calls = sized('HLEN', k.calls) > 0 and redis.call('HGETALL', k.calls) or {}
local kinds = sized('SCARD', k.kinds) > 0 and redis.call('SMEMBERS', k.kinds) or {}
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
