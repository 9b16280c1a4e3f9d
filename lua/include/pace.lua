-- Redis runs one thing at a time, so a script that takes one thing after another stops when it has taken this long,
-- and its caller goes on from there. Since Redis 7.4 there is a clock of the CPU. Before, TIME tells; but since 7.2 it
-- stands still within a script, so that between the two a number of things has to do.
local LONGEST_S = 0.0015
local WITHOUT_CLOCK = 50
local AT_LEAST = 10 -- of what is known to be short
local cpu = rawget(_G, 'os')

local function clock_s()
  if cpu then
    return cpu.clock()
  end
  local t = redis.call('TIME')
  return tonumber(t[1]) % 100000 + t[2] / 1000000
end

local begun_s, dealt = nil, 0

-- For what takes long from its first thing on; else the clock starts when the first one was dealt with.
local function start_clock()
  begun_s = clock_s()
end

-- To be asked behind each thing that was dealt with, or behind a `number` of them. `least`: so many are dealt with in
-- any case; `most`: no more where no clock moves on.
local function is_late(least, most, number)
  dealt = dealt + (number or 1)
  begun_s = begun_s or clock_s()
  if dealt < (least or 1) then
    return false
  end
  local taken = clock_s() - begun_s
  if taken == 0 then
    return dealt >= (most or WITHOUT_CLOCK)
  end
  return taken >= LONGEST_S or taken < 0
end
