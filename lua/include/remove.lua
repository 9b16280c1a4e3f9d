-- @include include/clock
-- @include include/index
-- @include include/free
-- @include include/statuses
-- @include include/token
-- @include include/tally
-- Removes a record with everything that belongs to it. Without the hash only what needs no field of it can go; `lost`
-- keeps the session in mind until a worker has combed the other indexes, and the logs, for it.
local function forget(k)
  redis.call('ZREM', k.removals, k.member)
  redis.call('ZREM', k.dirty, k.member)
  redis.call('ZREM', k.deadlines, k.member)
  redis.call('DEL', k.lease)
  free_place(k)
  drop_tokens(k)
end

-- The hash is gone, and with it the knowledge of its kind and status. Counts are taken from these indexes.
local function forget_status(k)
  for _, kind in ipairs(redis.call('SMEMBERS', k.kinds)) do
    for _, statuses in ipairs({ LIVE, ENDED }) do
      for status in pairs(statuses) do
        redis.pcall('ZREM', status_index(k, kind, status), k.id) -- one of another type must not hide the others
      end
    end
  end
end

-- Takes a record out of everything that lists it, and returns the names of its logs.
local function unlist(k)
  forget(k)
  local raw = redis.call('HMGET', k.session, 'kind', 'status', '_logs', '_indexes', 'client_type')
  if raw[1] and raw[2] then
    if redis.call('ZREM', status_index(k, raw[1], raw[2]), k.id) == 1 and LIVE[raw[2]] then
      tally(k, 'shift|', raw[1], raw[5] or '', '-1')
    end
  else
    forget_status(k)
  end
  for spec in string.gmatch(raw[4] or '', '[^,]+') do
    index_remove(k, spec, redis.call('HGET', k.session, (string.gsub(spec, '%[%]$', ''))))
  end
  return raw[3] or ''
end

-- While sessions come back from the archive, those that go are noted: what was read of them before must not come back.
local REMOVED_MS = 600000

local function remove(k)
  if redis.call('EXISTS', k.guard) == 1 then
    redis.call('ZADD', k.removed, text(now_ms()), k.member)
    redis.call('PEXPIRE', k.removed, REMOVED_MS)
  end
  for name in string.gmatch(unlist(k), '[^,]+') do
    redis.call('DEL', k.log .. name)
  end
  redis.call('DEL', k.session)
end
