-- @include include/clock
-- An ended session's hash outlives its removal time by a day, so that the removal still finds what to clean up.
local HOUSEKEEPING_MS = 86400000

-- `put`: see finish.lua.
local function place_removal(k, now, retention, grace, logs, put)
  put('ZADD', k.removals, text(now + retention), k.member)
  local gone_at = text(now + math.max(grace, retention) + HOUSEKEEPING_MS)
  redis.call('PEXPIREAT', k.session, gone_at)
  for name in string.gmatch(logs, '[^,]+') do
    redis.call('PEXPIREAT', k.log .. name, gone_at)
  end
end
