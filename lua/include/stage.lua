-- @include include/clock
-- @include include/integer
-- @include include/record
-- Where the logs of a record that is about to be replaced begin, as texts by the fields that say so.
local function firsts_of(k, names)
  local firsts = {}
  for name in string.gmatch(names, '[^,]+') do
    firsts['_first:' .. name] = redis.call('HGET', k.session, '_first:' .. name) or '0'
  end
  return firsts
end

-- A log that comes from the archive is first built beside the session, under a key of its own that goes by itself where
-- nobody comes back to it; here it takes its place. Each pair of ARGV is a log's name and that key. `texts`: the record
-- that was put back; `firsts`: of the one that it replaces, if there was one.
local function take_staged(k, first, count, texts, firsts)
  for i = first, first + 2 * count - 1, 2 do
    local log, field = k.log .. ARGV[i], '_first:' .. ARGV[i]
    local begins = integer(texts[field] or '0') or 0
    -- Of a bounded log whose record is gone nobody knows where it begins.
    local held = firsts and integer(firsts[field] or '0') or (not texts['_keep:' .. ARGV[i]] and 0)
    if held and held + redis.call('LLEN', log) > begins + redis.call('LLEN', ARGV[i + 1]) then
      redis.call('DEL', ARGV[i + 1]) -- not all of it was archived
    else
      redis.call('RENAME', ARGV[i + 1], log)
      redis.call('PERSIST', log)
      if firsts then
        firsts[field] = nil
      end
    end
  end
  for field, held in pairs(firsts or {}) do -- the logs that stay as they were
    if held ~= '0' then
      redis.call('HSET', k.session, field, held)
    elseif texts[field] then
      redis.call('HDEL', k.session, field)
    end
  end
end

-- Whether all of them are there.
local function are_staged(first, count)
  for i = first, first + 2 * count - 1, 2 do
    if redis.call('TYPE', ARGV[i + 1]).ok ~= 'list' then
      return false
    end
  end
  return true
end

-- Whether a session's logs are lists, or not there at all; `names` as in its record.
local function logs_are_sound(k, names)
  for name in string.gmatch(names or '', '[^,]+') do
    local kind = redis.call('TYPE', k.log .. name).ok
    if kind ~= 'list' and kind ~= 'none' then
      return false
    end
  end
  return true
end

-- The rest of ARGV, field and value in turn, as a table.
local function texts_from(first)
  local texts = {}
  for i = first, #ARGV, 2 do
    texts[ARGV[i]] = ARGV[i + 1]
  end
  return texts
end
