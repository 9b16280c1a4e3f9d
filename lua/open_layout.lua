-- Tells how this Redis is laid out; lays out an empty one. Reads first, so that a full Redis still serves.
-- KEYS[1]  meta       hash    layout and partitions
-- ARGV[1]  layout     count   the version of the key schema
-- ARGV[2]  partitions count
-- Returns  {layout, partitions}
-- Errors   none
local meta = KEYS[1]
local layout, partitions = ARGV[1], ARGV[2]

local found = redis.call('HMGET', meta, 'layout', 'partitions')
if not found[1] and not found[2] then
  redis.call('HSET', meta, 'layout', layout, 'partitions', partitions)
  return { layout, partitions }
end
return found
