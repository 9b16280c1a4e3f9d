-- Notes that a process is there, and with which settings; forgets those that have been silent.
-- KEYS[1]  clients    zset    what processes say of themselves, by when they last said so
-- ARGV[1]  told       JSON    what this one says
-- ARGV[2]  kept       ms      for how long one that falls silent is kept
-- ARGV[3]  most       count   how many are kept
-- ARGV[4]  leaves     0|1     whether it is about to end
-- Returns  how many there are
-- Errors   none
-- @include include/clock
local clients = KEYS[1]
local told, kept, most, leaves = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'

local now = now_ms()
redis.call('ZREMRANGEBYSCORE', clients, '-inf', text(now - kept))
if leaves then
  redis.call('ZREM', clients, told)
else
  redis.call('ZADD', clients, text(now), told)
  redis.call('ZREMRANGEBYRANK', clients, 0, -most - 1)
  redis.call('PEXPIRE', clients, kept)
end
return redis.call('ZCARD', clients)
