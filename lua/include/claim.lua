-- @include include/record
-- @include include/finish
-- @include include/lose
-- @include include/pace
-- Turns one session past its deadline into `expired`. The hash's own deadline decides; an index that says otherwise is
-- repaired. `by` tells how one came to it: 'notification', 'sweep', 'create' (on the way of a write) or 'call'. Returns
-- 'expired', 'lost' (the hash is gone: evicted, or deleted by hand), 'damaged', 'moved' or 'ended'. What is counted
-- goes into `book`: see tally.lua. `later` and `placeless`: see finish.lua.
local function claim(k, now, grace, retention, by, book, later, placeless)
  local core, damage = load_core(k)
  if not core then
    return lose(k, now, damage and 'damaged' or 'lost')
  end
  if not core.live then
    redis.call('ZREM', k.deadlines, k.member)
    return 'ended'
  end
  if not core.expires or core.expires > now then
    redis.call('ZREM', k.deadlines, k.member) -- shrinks first, so that a full server lets the repair through
    place_deadline(k, core.expires, grace, core.logs)
    return 'moved'
  end
  finish(k, core, now, grace, retention, { status = 'expired', at = core.expires, reason = 'deadline',
    event = 'expired', actor = 'sojourn', trace = '', book = book,
    later = later, placeless = placeless,
    changes = '{"status":"expired","end_reason":"deadline"}' })
  book_claim(book, k, by, now - core.expires)
  return 'expired'
end

-- Claims what is due in a partition, oldest deadline first. Returns how many were looked at, and the counts.
-- As many as `limit` means that there may be more.
local BETWEEN_LOOKS = 5 -- at the clock: a look costs as much as a write

local function claim_due(prefix, now, limit, grace, retention, by)
  local due = redis.call('ZRANGEBYSCORE', prefix .. 'deadlines', '-inf', text(now), 'LIMIT', 0, limit)
  local looked_at, expired, lost, book, later, placeless, failure = #due, 0, 0, {}, {}, {}, nil
  for i, member in ipairs(due) do
    local k = member_keys(prefix, member)
    if not k then
      redis.call('ZREM', prefix .. 'deadlines', member)
    else
      if placeless[k.tenant] == nil then
        placeless[k.tenant] = redis.call('EXISTS', k.places) == 0
      end
      local ok, outcome = pcall(claim, k, now, grace, retention, by, book, later, placeless[k.tenant])
      if not ok then
        failure = outcome
        break
      elseif outcome == 'expired' then
        expired = expired + 1
      elseif outcome == 'lost' or outcome == 'damaged' then
        lost = lost + 1
      end
    end
    if i % BETWEEN_LOOKS == 0 and is_late(AT_LEAST / BETWEEN_LOOKS, WITHOUT_CLOCK / BETWEEN_LOOKS) then
      looked_at = limit
      break
    end
  end
  local refusal = do_later(later)
  failure = failure or refusal
  write_book(book) -- what went before is done, and counts
  if failure then
    error(redis.REDIS_VERSION_NUM and { err = failure } or failure, 0) -- before a text Redis 7 puts its own code
  end
  return looked_at, expired, lost
end
