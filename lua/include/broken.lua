-- @include include/place
-- @include include/tell_limited
-- Which limit on live sessions would be broken by what is wanted: see room.lua.

-- The limit that would be broken by what is `wanted`, as a name, its bound and how much there is; nil if there is room.
local function broken(k, limits, wanted)
  local bound, count = tonumber(limits.owner_sessions), nil
  if wanted.owner_sessions > 0 and bound and wanted.owner ~= '' then
    count = redis.call('ZCARD', live_of(k, wanted.owner))
    if count + wanted.owner_sessions > bound then
      return 'owner_sessions', bound, count
    end
  end
  bound = tonumber(limits.sessions)
  if wanted.sessions > 0 and bound then
    count = redis.call('ZCARD', k.live)
    if count + wanted.sessions > bound then
      return 'sessions', bound, count
    end
  end
  bound = tonumber(limits.bytes)
  if wanted.bytes > 0 and bound then
    count = tonumber(redis.call('HGET', k.places, TOTAL) or '0')
    if count + wanted.bytes > bound then
      return 'bytes', bound, count
    end
  end
  return nil
end

local function limit_error(k, now, limit, bound, count)
  tell_limited(k, now, limit, string.format('"bound":%.0f,"count":%.0f', bound, count))
  return redis.error_reply(string.format('LIMIT %s %.0f %.0f', limit, bound, count))
end
