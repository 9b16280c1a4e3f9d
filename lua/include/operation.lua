-- @include include/clock
-- Operation ids make a retried write count once. They are kept for a while per partition rather than in the record,
-- where a second writer would push out the first one's id before its retry arrives.
local OPERATION_MEMORY_MS = 30000

local function is_repeat(k, operation)
  return redis.call('ZSCORE', k.operations, operation) ~= false
end

local function remember(k, operation, now)
  redis.call('ZREMRANGEBYSCORE', k.operations, '-inf', text(now - OPERATION_MEMORY_MS))
  redis.call('ZADD', k.operations, text(now), operation)
end
