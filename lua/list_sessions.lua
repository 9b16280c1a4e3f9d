-- One page of a tenant's sessions, newest first. Walks the smallest of the filters' indexes and checks the rest.
-- KEYS[1]  kinds      set     the tenant's kinds
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  statuses   string  comma-separated
-- ARGV[4]  kinds      string  comma-separated; '' for all
-- ARGV[5]  client_type string '' for any
-- ARGV[6]  newest     ms      created at or before
-- ARGV[7]  oldest     ms      created at or after
-- ARGV[8]  after      string  id of the last one seen, created at `newest`; '' at the start
-- ARGV[9]  limit      count   records to return at most
-- ARGV[10] scan       count   index entries to look at, at most
-- ARGV[11] reply      string  'records'; 'count', which returns none; or 'ids'
-- ARGV[12] counts     0|1     whether against a rate; the steps of one call do so once, those of housekeeping never
-- ARGV[13...] field, value    further indexed fields and the value each must have
-- Returns  {matches, last created_at ms, last id, complete 0|1, {id, record, ...}}, a record being {field, value, ...}
-- Errors   RATE
-- @include include/keys
-- @include include/statuses
-- @include include/clock
-- @include include/integer
-- @include include/record
-- @include include/index
-- @include include/walk
-- @include include/limit
-- @include include/pace
local kinds_key = KEYS[1]
local prefix, tenant, statuses, kinds, client_type = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local newest, oldest, after = tonumber(ARGV[6]), ARGV[7], ARGV[8]
local limit, scan, reply, counts = tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11], ARGV[12] == '1'
local counts_only, WALKED_AT_ONCE = reply == 'count', 50

local k = session_keys(prefix, tenant, '')
local now = now_ms()
local limits = counts and limits_of(k)
if limits then
  -- @include include/pass
  local limited = pass(k, limits)
  if limited then
    return limited
  end
end
local wanted_status, wanted_kind, status_keys = {}, nil, {}
local kind_list = {}
if kinds == '' then
  kind_list = redis.call('SMEMBERS', kinds_key)
else
  wanted_kind = {}
  for kind in string.gmatch(kinds, '[^,]+') do
    kind_list[#kind_list + 1] = kind
    wanted_kind[kind] = true
  end
end
for status in string.gmatch(statuses, '[^,]+') do
  wanted_status[status] = true
  for _, kind in ipairs(kind_list) do
    status_keys[#status_keys + 1] = status_index(k, kind, status)
  end
end

local driver, driver_size, others = status_keys, cardinality(status_keys), {}
for i = 13, #ARGV, 2 do
  local key = index_key(k, ARGV[i], ARGV[i + 1])
  others[#others + 1] = key
  local size = redis.call('ZCARD', key)
  if size < driver_size then
    driver, driver_size = { key }, size
  end
end

local function matches(session, id)
  local raw = redis.pcall('HMGET', session, 'status', 'kind', 'client_type', 'expires_at_ms')
  if raw.err or not raw[1] then
    return nil
  end
  if not wanted_status[raw[1]] or (wanted_kind and not wanted_kind[raw[2]]) then
    return false
  end
  if client_type ~= '' and raw[3] ~= client_type then
    return false
  end
  if LIVE[raw[1]] and raw[4] and (integer(raw[4]) or EXACT) <= now then
    return false
  end
  for _, key in ipairs(others) do
    if not redis.call('ZSCORE', key, id) then
      return false
    end
  end
  return true
end

-- Counting whole indexes needs no walk, unless sessions past their deadline that nobody has claimed yet are in them.
if counts_only and #others == 0 and client_type == '' and after == '' and oldest == '0' and newest >= now
  and redis.call('ZCOUNT', k.deadlines, '-inf', text(now)) == 0 then
  return { driver_size, text(newest), '', 1, {} }
end

local page, found, looked_at, complete, is_over = {}, 0, 0, 0, false
local last_score, last_id = newest, after
while found < limit and looked_at < scan and complete == 0 and not is_over do
  local wanted = math.min(limit - found + 10, scan - looked_at, WALKED_AT_ONCE)
  local batch = walk(driver, last_score, last_id, oldest, wanted)
  complete = #batch < wanted and 1 or 0
  for _, entry in ipairs(batch) do
    if found >= limit or is_over then
      complete = 0
      break
    end
    looked_at = looked_at + 1
    last_score, last_id = entry.score, entry.id
    is_over = is_late(AT_LEAST, scan)
    local session = k.session .. entry.id
    local matched = matches(session, entry.id)
    if matched == nil then
      for _, keys in ipairs({ status_keys, others }) do
        for _, key in ipairs(keys) do
          redis.call('ZREM', key, entry.id)
        end
      end
    elseif matched then
      found = found + 1
      if not counts_only then
        page[2 * found - 1] = entry.id
        page[2 * found] = reply == 'ids' and {} or redis.call('HGETALL', session)
      end
    end
  end
end
return { found, text(last_score), last_id, complete, page }
