-- After the archive committed a batch: its events are done with, and the batch is counted. Only in the run of the
-- server that the archive run began with: one restored from an older copy meanwhile must be seen to be behind.
-- KEYS[1]  events     stream  the partition's outbox
-- KEYS[2]  batches    hash    how many batches the archive has taken, and when the last by its own clock
-- ARGV[1]  run        string  the run of the server
-- ARGV[2]  group      string  the archive's consumer group
-- ARGV[3]  count      count   how many batches it has taken with this one
-- ARGV[4]  at         string  when, by the archive's clock
-- ARGV[5...] id       string  the events
-- Returns  1, or 0 where this is another run of the server
-- Errors   none
local events, batches = KEYS[1], KEYS[2]
local run, group, count, at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local AT_ONCE = 1000

if not string.find(redis.call('INFO', 'server'), 'run_id:' .. run, 1, true) then
  return 0
end
redis.call('DEL', batches) -- shrinks first, so that a full server lets it through
for i = 5, #ARGV, AT_ONCE do
  redis.call('XACK', events, group, unpack(ARGV, i, math.min(i + AT_ONCE - 1, #ARGV)))
end
redis.call('HSET', batches, 'count', count, 'at', at)
return 1
