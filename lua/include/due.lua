-- @include include/clock
-- @include include/failure
-- Walks what is due in a sorted set of the partition, earliest first, and picks what is one tenant's: others' entries
-- are passed over, and nothing of them leaves the script. `score` and `last` name the entry to go on behind; both are
-- '' at the start. Where that entry has gone since, the walk begins at its score again: it may meet some twice, and
-- misses none. Returns the members, and for each where it stands; the walk ends at the end, or after `scan` entries.
local STEP = 100

local function place_behind(key, score, last)
  if score == '' then
    return 0
  end
  local rank = redis.call('ZSCORE', key, last) == score and redis.call('ZRANK', key, last)
  return rank and rank + 1 or redis.call('ZCOUNT', key, '-inf', '(' .. score)
end

local function due_of(key, tenant, now, score, last, limit, scan)
  local own, found, looked_at = tenant .. '/', {}, 0
  local place = place_behind(key, score, last)
  while looked_at < scan do
    local wanted = math.min(STEP, scan - looked_at)
    local flat = redis.call('ZRANGE', key, place + looked_at, place + looked_at + wanted - 1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local is_own = string.sub(flat[i], 1, #own) == own
      if tonumber(flat[i + 1]) > now then
        return found, score, last, true
      elseif is_own and #found == limit then
        return found, score, last, false
      end
      if is_own then
        found[#found + 1] = flat[i]
      end
      score, last = flat[i + 1], flat[i]
      looked_at = looked_at + 1
    end
    if #flat < 2 * wanted then
      return found, score, last, true
    end
  end
  return found, score, last, false
end

-- What `act` makes of each member's keys; one that fails stops none of the others. Failures are told as id and error.
local function each_of(prefix, members, act)
  local failures = {}
  for _, member in ipairs(members) do
    local k = member_keys(prefix, member)
    local ok, failure = pcall(act, k)
    if not ok then
      failures[#failures + 1] = k.id
      failures[#failures + 1] = failure_text(failure)
    end
  end
  return failures
end
