-- @include include/clock
-- A session's deadline lives in four places: the hash field (the truth), the hash's TTL, the lease's TTL and the
-- partition's index. They change together, here.
-- What a lease holds: a number that Redis has at hand, and so no memory of its own.
local LEASE = '0'

-- deadline: ms, or nil for a session without one. Writes no hash field: the caller does, in its one HSET.
local function place_deadline(k, deadline, grace, logs)
  if not deadline then
    redis.call('ZREM', k.deadlines, k.member)
    redis.call('DEL', k.lease)
    redis.call('PERSIST', k.session)
    for name in string.gmatch(logs or '', '[^,]+') do
      redis.call('PERSIST', k.log .. name)
    end
    return
  end
  local at = text(deadline)
  redis.call('SET', k.lease, LEASE, 'PXAT', at)
  redis.call('ZADD', k.deadlines, at, k.member)
  local gone_at = text(deadline + grace)
  redis.call('PEXPIREAT', k.session, gone_at)
  if logs and logs ~= '' then
    for name in string.gmatch(logs, '[^,]+') do
      redis.call('PEXPIREAT', k.log .. name, gone_at)
    end
  end
end

-- now + ttl, but never past the absolute cap; nil where neither is set.
local function deadline_from(now, ttl, created, max_lifetime)
  local deadline = ttl and now + ttl or nil
  if max_lifetime and (not deadline or created + max_lifetime < deadline) then
    deadline = created + max_lifetime
  end
  return deadline
end
