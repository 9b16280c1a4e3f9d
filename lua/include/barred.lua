-- An error reply where nothing new of the tenant may come to this place, else nil: it has a partition of its own since,
-- or is being deleted. A partition of its own that is not marked as its home was given up.
local function barred(k)
  local marks = redis.call('HMGET', k.limits, 'moved', 'closed', 'home')
  local is_own = string.find(k.limits, '^sojourn:{%d%d%d')
  return (marks[2] and not marks[1] and redis.error_reply('CLOSED'))
    or ((marks[1] or (is_own and not marks[3])) and redis.error_reply('MOVED')) or nil
end
