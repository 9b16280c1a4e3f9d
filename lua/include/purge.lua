-- @include include/clock
-- @include include/integer
-- @include include/lose
-- @include include/pace
-- @include include/remove
-- @include include/trim
-- Removes ended sessions whose time to stay is over. One that the archive still waits for stays until grace runs out.
-- `archived`: whether somebody is known to archive here; an outbox that the archive reads tells so too. Where nobody
-- does, waiting for it would be waiting for nothing.
local LOOK_AGAIN_MS = 60000

-- An ended record that other hands took before its time: what named its indexes and logs is gone with it.
local function vanish(k, now, archived)
  if archived and redis.call('ZSCORE', k.dirty, k.member) then
    lose(k, now, 'lost')
    return
  end
  forget(k)
  forget_status(k)
  redis.call('SADD', k.lost, k.member)
end

-- Removes one of them, and tells whether it did; `archived` is known by now.
local function purge(k, now, grace, archived)
  local raw = redis.pcall('HMGET', k.session, 'updated_at_ms')
  -- A record without a readable time may not be archived either: it waits until its own TTL takes it.
  local updated = not raw.err and (raw[1] and (positive(raw[1]) or now) or 0)
  if raw.err then
    forget(k) -- not a hash: somebody else's key now
    return false
  elseif not raw[1] and redis.call('EXISTS', k.session) == 0 then
    vanish(k, now, archived)
  elseif archived and updated + grace > now and redis.call('ZSCORE', k.dirty, k.member) then
    redis.call('ZREM', k.removals, k.member)
    -- Soon again, rather than when grace is over. The fraction tells whoever archives it that its time was over.
    redis.call('ZADD', k.removals, text(math.min(updated + grace, now + LOOK_AGAIN_MS)) .. '.5', k.member)
    return false
  else
    remove(k)
  end
  return true
end

local function purge_due(prefix, now, limit, grace, archived, archive_group)
  local due = redis.call('ZRANGEBYSCORE', prefix .. 'removals', '-inf', text(now), 'LIMIT', 0, limit)
  local removed = 0
  archived = archived or (#due > 0 and has_group(prefix .. 'events', archive_group))
  for _, member in ipairs(due) do
    local k = member_keys(prefix, member)
    if not k then
      redis.call('ZREM', prefix .. 'removals', member)
    elseif purge(k, now, grace, archived) then
      removed = removed + 1
    end
    if is_late(AT_LEAST) then
      return removed, true
    end
  end
  return removed, false
end
