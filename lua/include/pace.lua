-- Redis runs one thing at a time, so a script that takes one thing after another stops when it has taken this long, and
-- its caller goes on from there. Since Redis 7 TIME stands still within a script, and a clock of the CPU is there.
local LONGEST_S = 0.0015
local cpu = rawget(_G, 'os')

local function clock_s()
  if cpu then
    return cpu.clock()
  end
  local t = redis.call('TIME')
  return tonumber(t[1]) % 100000 + t[2] / 1000000
end

local begun_s = clock_s()
local AT_LEAST = 10 -- of what is known to be short
local dealt = 0

-- To be asked behind each thing that was dealt with. `least`: so many are dealt with in any case.
local function is_late(least)
  dealt = dealt + 1
  if dealt < (least or 1) then
    return false
  end
  local taken = clock_s() - begun_s
  return taken >= LONGEST_S or taken < 0
end
