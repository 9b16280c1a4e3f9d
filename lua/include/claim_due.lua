-- @include include/claim
-- @include include/book
-- @include include/later
-- @include include/pace
-- Claims what is due in a partition, oldest deadline first. Returns how many were looked at, and the counts.
-- As many as `limit` means that there may be more.
local BETWEEN_LOOKS = 5 -- at the clock: a look costs as much as a write

local function claim_due(prefix, now, limit, grace, retention, by)
  local due = redis.call('ZRANGEBYSCORE', prefix .. 'deadlines', '-inf', text(now), 'LIMIT', 0, limit)
  local looked_at, expired, lost, book, later, keys, placeless, failure = #due, 0, 0, {}, {}, {}, {}, nil
  if #due > BETWEEN_LOOKS then
    start_clock()
  end
  local put = putting_off(later)
  for i, member in ipairs(due) do
    local tenant, id = member_names(member)
    if not tenant then
      redis.call('ZREM', prefix .. 'deadlines', member)
    else
      local k = keys[tenant]
      if not k then
        k = session_keys(prefix, tenant, id)
        keys[tenant], placeless[tenant] = k, redis.call('EXISTS', k.places) == 0
      end
      local ok, outcome, core = pcall(claim, rekey(k, id), now, grace, retention, put, placeless[tenant])
      if not ok then
        failure = outcome
        break
      elseif outcome == 'expired' then
        expired = expired + 1
        book_end(book, k, 'expired', core, core.expires)
        book_claim(book, k, by, core, now)
      elseif outcome == 'lost' or outcome == 'damaged' then
        lost = lost + 1
      end
    end
    if i % BETWEEN_LOOKS == 0 and is_late(AT_LEAST, WITHOUT_CLOCK, BETWEEN_LOOKS) then
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
