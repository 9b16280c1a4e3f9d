-- @include include/clock
-- What a call costs where its tenant's calls have rates.

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
      local key = k.own .. 'rate:' .. name .. (of_owner and ':' .. owner or '')
      local interval = 1000 / rate
      local room = interval * (tonumber(limits[name .. '_burst']) or 1)
      local full_at = tonumber(redis.call('GET', key) or '') or now
      full_at = math.max(now, math.min(full_at, now + room)) + interval -- the clock may have gone back
      local wait = full_at - now - room
      if wait > 0.0005 then
        -- @include include/tell_limited
        tell_limited(k, math.floor(now), name, string.format('"rate":%.17g', rate))
        return nil, redis.error_reply('RATE ' .. name .. ' ' .. text(math.ceil(wait)))
      end
      local last = #writes
      writes[last + 1], writes[last + 2] = key, string.format('%.3f', full_at)
      writes[last + 3] = text(math.ceil(full_at - now))
    end
  end
  return writes
end

local function pay(writes)
  for i = 1, #writes, 3 do
    redis.call('SET', writes[i], writes[i + 1], 'PX', writes[i + 2])
  end
end
