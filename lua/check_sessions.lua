-- Holds sessions against all that lists them: indexes, deadlines, TTLs, places and tokens; and makes what disagrees
-- agree with the record, where asked to. Each session is looked at and mended in one step, so that no writer comes
-- between.
-- KEYS[1]  limits     hash    the tenant's limits
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  mends      0|1
-- ARGV[4]  grace      ms
-- ARGV[5]  retention  ms
-- ARGV[6...] id       string  the sessions
-- Returns  for each session what is wrong, as words with commas between, '' for nothing: index, ttl, deadline, lease,
--          removal, log, token, place; 'odd', 'damaged': not mended; 'gone': something lists it, but there is no record
--          fewer: those behind are for the next call
-- Errors   none
-- @include include/record
-- @include include/examine_tokens
-- @include include/pace
local limits = KEYS[1]
local prefix, tenant, mends = ARGV[1], ARGV[2], ARGV[3] == '1'
local grace, retention = tonumber(ARGV[4]), tonumber(ARGV[5])

start_clock()
local now = now_ms()
local places = redis.pcall('HGET', limits, 'places')
places = type(places) == 'string' and places or nil

local function is_listed(k)
  for _, key in ipairs({ k.deadlines, k.dirty, k.removals }) do
    if type(redis.pcall('ZSCORE', key, k.member)) == 'string' then
      return true
    end
  end
  for _, kind in ipairs(redis.call('SMEMBERS', k.kinds)) do
    for _, statuses in ipairs({ LIVE, ENDED }) do
      for status in pairs(statuses) do
        if type(redis.pcall('ZSCORE', status_index(k, kind, status), k.id)) == 'string' then
          return true
        end
      end
    end
  end
  return type(redis.pcall('ZSCORE', k.live, k.id)) == 'string'
end

-- That it is gone was told before, by miss_session.lua, if anybody had to be told.
local function clear_away(k)
  forget(k)
  forget_status(k)
  redis.pcall('ZREM', k.live, k.id)
  redis.call('SADD', k.lost, k.member)
end

local function check(id)
  local k = session_keys(prefix, tenant, id)
  local core, damage = load_core(k, { '_indexes' })
  if damage then
    return 'damaged'
  elseif not core then
    local listed = is_listed(k)
    if listed and mends then
      clear_away(k)
    end
    return listed and 'gone' or ''
  end
  local found = { words = {}, shrink = {}, grow = {} }
  examine_indexes(found, k, core)
  if core.live then
    examine_live(found, k, core, now, grace)
    examine_tokens(found, k, now)
  else
    examine_ended(found, k, core, now, grace, retention)
  end
  examine_place(found, k, core, places)
  if mends then
    for _, writes in ipairs({ found.shrink, found.grow }) do
      for _, write in ipairs(writes) do
        write()
      end
    end
  end
  local words = {}
  for word in pairs(found.words) do
    words[#words + 1] = word
  end
  table.sort(words)
  return table.concat(words, ',')
end

local outcomes = {}
for i = 6, #ARGV do
  outcomes[#outcomes + 1] = check(ARGV[i])
  if is_late() then
    break
  end
end
return outcomes
