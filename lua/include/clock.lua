-- The one clock: Redis TIME, in milliseconds since the epoch. Fixed for the duration of a script.
local clock, clock_text = nil, nil

-- A whole number as text: Lua's tostring turns 1e14 and more into scientific notation, '%.0f' takes twice as long, and
-- '%d' alone may have only 32 bits.
local function text(n)
  if n == clock then
    return clock_text
  elseif n > -1000000000 and n < 1000000000 then
    return string.format('%d', n)
  elseif n > 0 and n < 1000000000000000 then
    return string.format('%d%09d', n / 1000000000, n % 1000000000)
  end
  return string.format('%.0f', n)
end

local function now_ms()
  local t = redis.call('TIME')
  clock_text = string.format('%s%03d', t[1], t[2] / 1000)
  clock = clock_text + 0
  return clock
end

-- Whether a write is to do now what only has to be done now and then: by the clock, in one of 16 milliseconds.
local function is_turn(now)
  return now % 16 == 0
end
