-- The one clock: Redis TIME, in milliseconds since the epoch. Fixed for the duration of a script.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A number as integer text: Lua's tostring turns 1e14 and more into scientific notation.
local function text(n)
  return string.format('%.0f', n)
end
