-- Takes sessions that have no record out of one index, or removes one of their logs. Whether the record is there is
-- asked here: it may have come back since somebody looked.
-- KEYS[1]  index      zset    an index; or, where `log` is told, a log
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  log        0|1     whether it is the log of the one session that follows
-- ARGV[4...] id       string  the sessions
-- Returns  how many entries went
-- Errors   none
-- @include include/keys
local index = KEYS[1]
local prefix, tenant, log = ARGV[1], ARGV[2], ARGV[3] == '1'

local session = session_keys(prefix, tenant, '').session
local gone = 0
for i = 4, #ARGV do
  if redis.call('EXISTS', session .. ARGV[i]) == 0 then
    local went = log and redis.call('DEL', index) or redis.pcall('ZREM', index, ARGV[i])
    gone = gone + (type(went) == 'number' and went or 0) -- a key of another type is not ours to mend
  end
end
return gone
