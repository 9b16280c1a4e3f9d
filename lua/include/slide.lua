-- @include include/clock
-- @include include/deadline
-- @include include/record
-- Where a live session's deadline is moved to now: to now + ttl, if that gains at least `min_gain` ms; it never goes
-- back. Nil where it stays.
local function slid(core, now, min_gain)
  if not core.ttl then
    return nil
  end
  local deadline = deadline_from(now, core.ttl, core.created, core.max_lifetime)
  return not (core.expires and deadline - core.expires < math.max(min_gain, 1)) and deadline or nil
end

-- Moves it. Returns the deadline in force, or nil for a session without one, and the fields written: name and value in
-- turn; nil for none.
local function slide(k, core, now, grace, min_gain)
  local deadline = slid(core, now, min_gain)
  if not deadline then
    return core.expires, nil
  end
  local write = { 'expires_at_ms', text(deadline), 'accessed_at_ms', text(now), 'updated_at_ms', stamp(core, now, 1) }
  redis.call('HSET', k.session, unpack(write))
  place_deadline(k, deadline, grace, core.logs)
  redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
  return deadline, write
end

-- On the way of another write, which takes the fields into its own; `before`, for its event, where the deadline was.
-- Returns the deadline that is then to be placed, or nil.
local function slide_with(core, now, write, before)
  local deadline = slid(core, now, 0)
  if deadline then
    write[#write + 1] = 'expires_at_ms'
    write[#write + 1] = text(deadline)
    write[#write + 1] = 'accessed_at_ms'
    write[#write + 1] = text(now)
    before.expires_at_ms = core.expires and text(core.expires) or false
    before.accessed_at_ms = text(core.accessed)
  end
  return deadline
end

-- The same behind the other write.
local function slide_told(k, core, now, grace, before)
  local write = {}
  local deadline = slide_with(core, now, write, before)
  if deadline then
    redis.call('HSET', k.session, unpack(write))
    place_deadline(k, deadline, grace, core.logs)
  end
end
