-- @include include/limit
-- @include include/broken
-- The limits on live sessions: how many, of the tenant and of one owner, and of how many bytes. What is `wanted` is
-- told as { sessions, owner_sessions, owner, bytes }.

-- The error reply for a write on a live session that wants room where there is none: the client then asks make_room.lua
-- for it, and comes again.
local function room_error(k, limits, wanted)
  if not limits.places then
    return nil
  end
  local grows = wanted.sessions > 0 or wanted.owner_sessions > 0 or wanted.bytes > 0
  if grows and not limits.closed and barred(k, limits) then
    return barred(k, limits) -- some of the sessions are counted elsewhere
  end
  if broken(k, limits, wanted) then
    return redis.error_reply(string.format('ROOM %d %d %.0f %s', wanted.sessions, wanted.owner_sessions,
      math.max(wanted.bytes, 0), wanted.owner))
  end
  return nil
end
