-- Holds the sum of the bytes of a tenant's places against the places, and puts it right where asked to.
-- KEYS[1]  places     hash    bytes and owners by session id; '/bytes': the sum
-- ARGV[1]  mends      0|1
-- ARGV[2]  most       count   how many places are added up at most
-- ARGV[3]  told       string  of more the sum as it was while the caller added them up, '' if he has not
-- ARGV[4]  sum        string  and what that came to
-- Returns  'fine', 'wrong', 'many': to be added up by the caller, or 'moved': the sum is another since
-- Errors   none
-- @include include/place
local places = KEYS[1]
local mends, most, told, sum = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local held = redis.pcall('HGET', places, TOTAL)
if type(held) == 'table' then
  return 'many' -- it is of another type
end
held = tonumber(held or '')
if told then
  if held ~= told then
    return 'moved'
  end
elseif redis.call('HLEN', places) > most then
  return 'many'
else
  sum = 0
  local flat = redis.call('HGETALL', places)
  for i = 1, #flat, 2 do
    sum = sum + (flat[i] ~= TOTAL and tonumber(string.match(flat[i + 1], '^%d+')) or 0)
  end
end
if sum == held or (sum == 0 and not held) then
  return 'fine'
end
if mends then
  redis.call('HSET', places, TOTAL, text(sum))
end
return 'wrong'
