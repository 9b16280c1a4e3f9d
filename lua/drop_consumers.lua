-- Forgets consumers of an outbox that hold nothing and have not been heard of for long. Both are asked here: with a
-- consumer goes what it holds, and it may have taken something since somebody looked.
-- KEYS[1]  events     stream  the outbox
-- ARGV[1]  group      string  the consumer group
-- ARGV[2]  idle       ms      for how long they have to be silent
-- Returns  how many were forgotten
-- Errors   none
local events = KEYS[1]
local group, idle = ARGV[1], tonumber(ARGV[2])

local found = redis.pcall('XINFO', 'CONSUMERS', events, group)
if found.err then
  return 0 -- the group is gone, or the key is of another type
end
local dropped = 0
for _, flat in ipairs(found) do
  local each = {}
  for i = 1, #flat, 2 do
    each[flat[i]] = flat[i + 1]
  end
  if each['pending'] == 0 and each['idle'] > idle then
    redis.call('XGROUP', 'DELCONSUMER', events, group, each['name'])
    dropped = dropped + 1
  end
end
return dropped
