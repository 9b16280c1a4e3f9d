-- @include include/clock
-- @include include/event
-- @include include/place
-- A tenant's limits: how many sessions, of how many bytes, may live, and how often calls may be made.
local OPERATIONS = { 'operations', 'owner_operations' }
local CREATES = { 'creates', 'owner_creates', 'operations', 'owner_operations' }
local TOLD_MS = 60000

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

-- Tells the outbox what a limit refuses, but not more than once a minute.
local function tell_limited(k, now, limit, told)
  local first = redis.pcall('SET', k.told .. limit, '', 'NX', 'PX', TOLD_MS)
  if first and first.ok then
    emit({ tenant = k.tenant, id = '', events = k.events }, 'limited', '', 0, now, 'sojourn', '',
      string.format('{"limit":"%s",%s}', limit, told), '')
  end
end

-- What it takes to take a token from each of the named buckets that has a rate, or nil and an error reply where one is
-- empty. A bucket is one number: the time at which it will be full again (GCRA, as in ITU-T I.371, annex A).
local function price(k, limits, names, owner)
  local t = redis.call('TIME')
  local now = t[1] * 1000 + t[2] / 1000
  local writes = {}
  for _, name in ipairs(names) do
    local rate = tonumber(limits[name])
    local of_owner = string.sub(name, 1, 6) == 'owner_'
    if rate and not (of_owner and owner == '') then
      local key = k.rate .. name .. (of_owner and ':' .. owner or '')
      local interval = 1000 / rate
      local room = interval * (tonumber(limits[name .. '_burst']) or 1)
      local full_at = tonumber(redis.call('GET', key) or '') or now
      full_at = math.max(now, math.min(full_at, now + room)) + interval -- the clock may have gone back
      local wait = full_at - now - room
      if wait > 0.0005 then
        tell_limited(k, math.floor(now), name, string.format('"rate":%.17g', rate))
        return nil, redis.error_reply('RATE ' .. name .. ' ' .. text(math.ceil(wait)))
      end
      writes[#writes + 1] = { key, string.format('%.3f', full_at), text(math.ceil(full_at - now)) }
    end
  end
  return writes
end

local function pay(writes)
  for _, write in ipairs(writes) do
    redis.call('SET', write[1], write[2], 'PX', write[3])
  end
end

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

-- What each call on a session passes: the tenant's limits, or nil where it has none, and an error reply where one
-- refuses it. `core` may be nil, for those who ask for what is not there are counted as well. `wanted`, where the call
-- needs room: { sessions, owner_sessions, owner, bytes }; without it is answered ROOM, and make_room.lua asked then.
local function pass(k, core, wanted)
  local limits = limits_of(k)
  if not limits then
    return nil, nil
  end
  if wanted and limits.places and broken(k, limits, wanted) then
    return nil, redis.error_reply(string.format('ROOM %d %d %.0f %s', wanted.sessions, wanted.owner_sessions,
      math.max(wanted.bytes, 0), wanted.owner))
  end
  local writes, refusal = price(k, limits, OPERATIONS, core and core.owner or '')
  if writes then
    pay(writes)
  end
  return limits, refusal
end

-- Notes that a live session was used, has grown by `bytes`, and is that owner's; after the write.
local function keep_place(k, limits, now, bytes, owner)
  if not (limits and limits.places) then
    return
  end
  local held, whose = place_of(k)
  if held and bytes == 0 and whose == owner then
    use_place(k, now)
  elseif held then
    take_place(k, now, math.max(held + bytes, 0), owner)
  end
end
