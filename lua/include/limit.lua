-- @include include/clock
-- A tenant's limits, and the rates among them: how often calls may be made. See room.lua for the others. Most tenants
-- have none: what only limits need is then not made, see assembly.py.
-- By name, or nil where none are set.
local function limits_of(k)
  local flat = redis.call('HGETALL', k.limits)
  if #flat == 0 then
    return nil
  end
  local limits = {}
  for i = 1, #flat, 2 do
    limits[flat[i]] = flat[i + 1]
  end
  return limits
end

-- An error reply where nothing new of the tenant may come to this place, else nil: it has a partition of its own since,
-- or is being deleted. A partition of its own that is not marked as its home was given up.
local function barred(k, limits)
  local moved, closed = limits and limits.moved, limits and limits.closed
  if closed and not moved then
    return redis.error_reply('CLOSED')
  end
  local is_own = string.find(k.limits, '^sojourn:{%d%d%d')
  return (moved or (is_own and not (limits and limits.home))) and redis.error_reply('MOVED') or nil
end
