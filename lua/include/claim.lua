-- @include include/record
-- @include include/finish
local expiry = { status = 'expired', reason = 'deadline', event = 'expired', actor = 'sojourn', trace = '',
  changes = '{"status":"expired","end_reason":"deadline"}' }

-- Turns one session past its deadline into `expired`. The hash's own deadline decides; an index that says otherwise is
-- repaired. Returns 'expired', 'lost' (the hash is gone: evicted, or deleted by hand), 'damaged', 'moved' or 'ended',
-- and behind the first what the caller counts it by: see tally.lua. `put` and `placeless`: see finish.lua.
local function claim(k, now, grace, retention, put, placeless)
  local core, damage = load_core(k)
  if not core then
    -- @include include/lose
    return lose(k, now, damage and 'damaged' or 'lost')
  end
  if not core.live then
    redis.call('ZREM', k.deadlines, k.member)
    return 'ended'
  end
  if not core.expires or core.expires > now then
    -- @include include/deadline
    redis.call('ZREM', k.deadlines, k.member) -- shrinks first, so that a full server lets the repair through
    place_deadline(k, core.expires, grace, core.logs)
    return 'moved'
  end
  finish(k, core, now, grace, retention, expiry, core.more[EXPIRES], put, placeless)
  return 'expired', core
end
