-- Lets a hook run again on an event that it was given up on. The dead letter stays until the event is in a job.
-- KEYS[1]  ledger     zset    events that the hook is done with, by time
-- KEYS[2]  dead       stream  the hook's dead letters
-- KEYS[3]  tried      string  how often the hook failed on the event
-- ARGV[1]  id         string  the event's id
-- ARGV[2]  entry      string  the dead letter's id in the stream
-- Returns  'revived'; 'done' where the event was done, or buried anew, since then; 'none' without such a dead letter
-- Errors   none
local ledger, dead, tried = KEYS[1], KEYS[2], KEYS[3]
local id, entry = ARGV[1], ARGV[2]

local found = redis.call('XRANGE', dead, entry, entry)[1]
if not found then
  return 'none'
end
local buried_at
for i = 1, #found[2], 2 do
  if found[2][i] == 'at_ms' then
    buried_at = tonumber(found[2][i + 1])
  end
end
local score = redis.call('ZSCORE', ledger, id)
if not score then
  return 'revived' -- by somebody who got no further, or the ledger has forgotten it
end
if buried_at and tonumber(score) ~= buried_at then
  return 'done'
end
redis.call('ZREM', ledger, id)
redis.call('DEL', tried)
return 'revived'
