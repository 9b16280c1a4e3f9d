-- @include include/clock
-- @include include/event
-- What a call costs where its tenant's calls have rates.
local TOLD_MS = 60000

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
