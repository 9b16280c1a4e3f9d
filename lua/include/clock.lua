-- The one clock: Redis TIME, in milliseconds since the epoch. Fixed for the duration of a script.
local clock, clock_text = nil, nil

-- A number as integer text: Lua's tostring turns 1e14 and more into scientific notation.
local function text(n)
  return n == clock and clock_text or string.format('%.0f', n)
end

local function now_ms()
  local t = redis.call('TIME')
  clock = t[1] * 1000 + math.floor(t[2] / 1000)
  clock_text = string.format('%.0f', clock)
  return clock
end

-- Whether a write is to do now what only has to be done now and then: by the clock, in one of 16 milliseconds.
local function is_turn(now)
  return now % 16 == 0
end
