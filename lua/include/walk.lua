-- @include include/clock
-- Walks one or several sorted sets together from the highest (score, member) down, starting below a given one.
local function cardinality(keys)
  local total = 0
  for _, key in ipairs(keys) do
    total = total + redis.call('ZCARD', key)
  end
  return total
end

-- Appends up to `count` entries of one set that come after (score, id).
local function below(key, score, id, lowest, count, into)
  local offset, taken, most = 0, 0, text(count)
  while taken < count do
    local first = offset == 0 and '0' or text(offset)
    local flat = redis.call('ZREVRANGEBYSCORE', key, text(score), lowest, 'WITHSCORES', 'LIMIT', first, most)
    for i = 1, #flat, 2 do
      local each = tonumber(flat[i + 1])
      if taken < count and (id == '' or each < score or flat[i] < id) then
        into[#into + 1] = { key = key, id = flat[i], score = each }
        taken = taken + 1
      end
    end
    if #flat < 2 * count then
      return
    end
    offset = offset + count
  end
end

local function walk(keys, score, id, lowest, count)
  local entries = {}
  for _, key in ipairs(keys) do
    below(key, score, id, lowest, count, entries)
  end
  if #keys > 1 and #entries > 1 then
    table.sort(entries, function(a, b)
      return a.score > b.score or (a.score == b.score and a.id > b.id)
    end)
  end
  -- Each set gave its own first `count`, so only that many of the merged ones are sure to be the next.
  for i = count + 1, #entries do
    entries[i] = nil
  end
  return entries
end
