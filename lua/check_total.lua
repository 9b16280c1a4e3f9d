-- Holds the sum of the bytes of a tenant's places against the places, and puts it right where asked to.
-- KEYS[1]  places     hash    bytes and owners by session id; '/bytes': the sum
-- ARGV[1]  mends      0|1
-- Returns  'fine', 'wrong', or 'many': too many places to be added up at once
-- Errors   none
-- @include include/place
local places = KEYS[1]
local mends = ARGV[1] == '1'
local MOST = 100000 -- some 50 ms

local number = redis.pcall('HLEN', places)
if type(number) ~= 'number' or number > MOST then
  return 'many'
end
local sum, told = 0, 0
local flat = redis.call('HGETALL', places)
for i = 1, #flat, 2 do
  if flat[i] == TOTAL then
    told = tonumber(flat[i + 1])
  else
    sum = sum + (tonumber(string.match(flat[i + 1], '^%d+')) or 0)
  end
end
if sum == told then
  return 'fine'
end
if mends then
  redis.call('HSET', places, TOTAL, text(sum))
end
return 'wrong'
