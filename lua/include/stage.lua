-- @include include/clock
-- A log that comes from the archive is first built beside the session, under a key of its own that goes by itself where
-- nobody comes back to it; here it takes its place. Each pair of ARGV is a log's name and that key.
local function take_staged(k, first, count)
  for i = first, first + 2 * count - 1, 2 do
    local log = k.log .. ARGV[i]
    if redis.call('LLEN', log) > redis.call('LLEN', ARGV[i + 1]) then
      redis.call('DEL', ARGV[i + 1]) -- not all of it was archived
    else
      redis.call('RENAME', ARGV[i + 1], log)
      redis.call('PERSIST', log)
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
