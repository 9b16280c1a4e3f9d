-- @include include/clock
-- @include include/keys
-- @include include/pace
-- Walks what is due in a sorted set of the partition, earliest first, and picks what is one tenant's: others' entries
-- are passed over, and nothing of them leaves the script. `score` and `last` name the entry to go on behind; both are
-- '' at the start. Where that entry has gone since, the walk begins at its score again: it may meet some twice, and
-- misses none. It ends at the end, or after `scan` entries. Returns {member, score} of each, where the walk is, whether
-- that is the end, and whether none were passed over.
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
    -- Where the tenant has the partition to itself, the first few are all that is wanted.
    local wanted = math.min(looked_at == 0 and limit + 1 or STEP, scan - looked_at)
    local flat = redis.call('ZRANGE', key, place + looked_at, place + looked_at + wanted - 1, 'WITHSCORES')
    for i = 1, #flat, 2 do
      local is_own = string.sub(flat[i], 1, #own) == own
      if tonumber(flat[i + 1]) > now then
        return found, score, last, true, looked_at == #found
      elseif is_own and #found == limit then
        return found, score, last, false, looked_at == #found
      end
      if is_own then
        found[#found + 1] = { flat[i], flat[i + 1] }
      end
      score, last = flat[i + 1], flat[i]
      looked_at = looked_at + 1
    end
    if #flat < 2 * wanted then
      return found, score, last, true, looked_at == #found
    end
  end
  return found, score, last, false, looked_at == #found
end

-- Where the next step goes on. Behind what was all dealt with, and so is due no more, it begins anew: to find the place
-- of an entry that has gone takes Redis two commands.
local function place_after(starts, alone, failures, stopped, score, last)
  if starts and alone and #failures == 0 then
    return '', ''
  elseif stopped then
    return stopped[2], stopped[1]
  end
  return score, last
end

-- What `act` makes of each one's keys, which are put into `k`, the tenant's; one that fails stops none of the others.
-- Failures are told as id and error. Also returns the one to go on behind, if it stopped there, being late; else nil.
-- A member that names no session is nobody's, and goes.
local function each_of(key, k, found, act)
  local failures = {}
  for i, each in ipairs(found) do
    local id = string.sub(each[1], #k.tenant + 2)
    if id ~= '' then
      local ok, failure = pcall(act, rekey(k, id))
      if not ok then
        -- @include include/failure
        failures[#failures + 1] = id
        failures[#failures + 1] = failure_text(failure)
      end
    else
      redis.call('ZREM', key, each[1])
    end
    if i < #found and is_late(AT_LEAST) then
      return failures, each
    end
  end
  return failures, nil
end
