-- An error reply where nothing new of the tenant may come to this place, else nil: it has a partition of its own since,
-- or is being deleted.
local function barred(k)
  local marks = redis.call('HMGET', k.limits, 'moved', 'closed')
  return (marks[1] and redis.error_reply('MOVED')) or (marks[2] and redis.error_reply('CLOSED')) or nil
end
