-- @include include/clock
-- An ended session's hash outlives its removal time by a day, so that the removal still finds what to clean up.
local HOUSEKEEPING_MS = 86400000

-- Both times are the same for all of a script's sessions, so they are spelled once.
local spelled_at, removed_at, gone_at = nil, nil, nil

-- `put`: see finish.lua.
local function place_removal(k, now, retention, grace, logs, put)
  if spelled_at ~= now then
    spelled_at, removed_at = now, text(now + retention)
    gone_at = text(now + math.max(grace, retention) + HOUSEKEEPING_MS)
  end
  put('ZADD', k.removals, removed_at, k.member)
  redis.call('PEXPIREAT', k.session, gone_at)
  for name in string.gmatch(logs, '[^,]+') do
    redis.call('PEXPIREAT', k.log .. name, gone_at)
  end
end
