-- Holds entries of one of a tenant's indexes, or of its sets of live sessions, against the records; and takes out those
-- that belong to no record which says so, where asked to.
-- KEYS[1]  index      zset    an index, or a set of live sessions
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  mends      0|1
-- ARGV[4...] id       string  the entries
-- Returns  for each entry 'fine', 'stray', or 'gone' where there is no record
--          fewer: those behind are for the next call
-- Errors   none
-- @include include/keys
-- @include include/statuses
-- @include include/index
-- @include include/record
-- @include include/pace
local index = KEYS[1]
local prefix, tenant, mends = ARGV[1], ARGV[2], ARGV[3] == '1'

start_clock()
local own = session_keys(prefix, tenant, '')
local is_live_set = string.sub(index, 1, #own.live) == own.live
local owner = is_live_set and string.sub(index, #own.live + 2) or ''
local field, value = string.match(string.sub(index, #own.index + 1), '^([^:]*):(.*)$')

local function belongs(session)
  local raw = redis.call('HMGET', session, 'kind', 'status', '_indexes', is_live_set and 'owner' or field)
  if is_live_set then
    return LIVE[raw[2]] and (owner == '' or raw[4] == owner)
  elseif field == 'status' then
    return value == (raw[1] or '') .. ':' .. (raw[2] or '')
  end
  for spec in string.gmatch(raw[3] or '', '[^,]+') do
    if string.gsub(spec, '%[%]$', '') == field then
      for _, each in ipairs(index_values(spec, raw[4])) do
        if each == value then
          return true
        end
      end
    end
  end
  return false
end

local outcomes = {}
for i = 4, #ARGV do
  local session = session_keys(prefix, tenant, ARGV[i]).session
  local outcome = 'fine'
  if type(redis.pcall('ZSCORE', index, ARGV[i])) == 'string' then
    local kind = redis.call('TYPE', session).ok
    outcome = kind == 'none' and 'gone' or (kind ~= 'hash' or belongs(session)) and 'fine' or 'stray'
    if outcome ~= 'fine' and mends then
      redis.call('ZREM', index, ARGV[i])
    end
  end
  outcomes[#outcomes + 1] = outcome
  if is_late() then
    break
  end
end
return outcomes
