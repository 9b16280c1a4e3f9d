-- @include include/claim
-- @include include/book
-- @include include/pace
-- Claims what is due in a partition, oldest deadline first. Returns how many were looked at, and the counts.
-- As many as `limit` means that there may be more.
local function claim_due(prefix, now, limit, grace, retention, by)
  local due = redis.call('ZRANGEBYSCORE', prefix .. 'deadlines', '-inf', text(now), 'LIMIT', 0, limit)
  local expired, lost, book = 0, 0, {}
  for _, member in ipairs(due) do
    local k = member_keys(prefix, member)
    if not k then
      redis.call('ZREM', prefix .. 'deadlines', member)
    else
      local ok, outcome, core = pcall(claim, k, now, grace, retention)
      if not ok then
        write_book(book) -- what went before is done, and counts
        error(redis.REDIS_VERSION_NUM and { err = outcome } or outcome, 0) -- before a text Redis 7 puts its own code
      elseif outcome == 'expired' then
        expired = expired + 1
        book_end(book, k, 'expired', core, core.expires)
        book_claim(book, k, by, core, now)
      elseif outcome == 'lost' or outcome == 'damaged' then
        lost = lost + 1
      end
      if is_late(AT_LEAST) then
        write_book(book)
        return limit, expired, lost
      end
    end
  end
  write_book(book)
  return #due, expired, lost
end
