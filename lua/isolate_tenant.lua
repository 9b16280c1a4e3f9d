-- Gives a tenant a partition of its own, once. A number is never given out twice: keys under it may be left.
-- KEYS[1]  isolated   hash    the tenants' own partitions
-- ARGV[1]  tenant     string
-- ARGV[2]  first      count   the lowest number to give out anew
-- ARGV[3]  wanted     count   the number that it had before, as the archive tells; '' for none
-- ARGV[4]  last       string  the field that holds the highest number given out
-- Returns  {its number, 1 if it was given just now}
-- Errors   none
local isolated = KEYS[1]
local tenant, first, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = ARGV[4]

local has = tonumber(redis.call('HGET', isolated, tenant) or '')
if has then
  return { has, 0 }
end
local highest = tonumber(redis.call('HGET', isolated, last) or '') or first - 1
local taken = {}
local all = redis.call('HGETALL', isolated)
for i = 1, #all, 2 do
  taken[tonumber(all[i + 1]) or 0] = true
end
local number = math.max(highest + 1, first)
if wanted and not taken[wanted] then
  number = wanted
end
redis.call('HSET', isolated, tenant, string.format('%.0f', number),
  last, string.format('%.0f', math.max(highest, number)))
return { number, 1 }
