-- @include include/clock
-- @include include/deadline
-- @include include/record
-- Moves a live session's deadline to now + ttl, if that gains at least `min_gain` ms; it never moves it back. Returns
-- the deadline in force, or nil for a session without one, and whether anything was written.
local function slide(k, core, now, grace, min_gain)
  if not core.ttl then
    return core.expires, false
  end
  local deadline = deadline_from(now, core.ttl, core.created, core.max_lifetime)
  if core.expires and deadline - core.expires < math.max(min_gain, 1) then
    return core.expires, false
  end
  redis.call('HSET', k.session, 'expires_at_ms', text(deadline), 'accessed_at_ms', text(now),
    'updated_at_ms', stamp(core, now, 1))
  place_deadline(k, deadline, grace, core.logs)
  redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
  return deadline, true
end

-- The same on the way of another write, whose event then also tells where the deadline was: `before` takes it.
local function slide_told(k, core, now, grace, before)
  local _, moved = slide(k, core, now, grace, 0)
  if moved then
    before.expires_at_ms = core.expires and text(core.expires) or false
    before.accessed_at_ms = text(core.accessed)
  end
end
