-- @include include/clock
-- Operation ids make a retried write count once. They are kept for a while per partition rather than in the record,
-- where a second writer would push out the first one's id before its retry arrives. Who finds one there is a repeat.
local OPERATION_MEMORY_MS = 30000

-- A count that a repeat is to be answered with is kept behind the point: exact below 4096, and until the year 2039.
local COUNTS = 4096

local function remember_count(k, operation, now, count)
  redis.call('ZADD', k.operations, string.format('%.17g', now + count / COUNTS), operation)
end

-- nil for what is no repeat.
local function repeated_count(k, operation)
  local score = tonumber(redis.call('ZSCORE', k.operations, operation) or '')
  return score and (score % 1) * COUNTS
end

-- How many ids are forgotten at once: more than were remembered since.
local FORGOTTEN = 128

local function remember(k, operation, now)
  if is_turn(now) then
    local before = text(now - OPERATION_MEMORY_MS)
    local old = redis.call('ZCOUNT', k.operations, '-inf', before)
    if old > 0 then
      redis.call('ZREMRANGEBYRANK', k.operations, 0, math.min(old, FORGOTTEN) - 1)
    end
  end
  redis.call('ZADD', k.operations, text(now), operation)
end
