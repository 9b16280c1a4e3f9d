-- @include include/clock
-- The places that a tenant's live sessions take, kept once it has a limit on them: in `places` each session's bytes and
-- owner, and under '/bytes' their sum; in `live`, and in one set for each owner, the sessions by their last use. How
-- many there are is the size of these sets, so nothing can drift; who ends or vanishes is taken out without its record.
local TOTAL = '/bytes'

local function live_of(k, owner)
  return owner == '' and k.live or k.live .. ':' .. owner
end

local function place_of(k)
  local held = redis.call('HGET', k.places, k.id)
  if not held then
    return nil
  end
  local bytes, owner = string.match(held, '^(%d+)/(.*)$')
  return tonumber(bytes) or 0, owner or ''
end

local function use_place(k, now)
  local held, owner = place_of(k)
  if held then
    redis.call('ZADD', k.live, 'XX', text(now), k.id)
    if owner ~= '' then
      redis.call('ZADD', live_of(k, owner), 'XX', text(now), k.id)
    end
  end
end

local function free_place(k)
  local held, owner = place_of(k)
  if held then
    redis.call('ZREM', k.live, k.id)
    if owner ~= '' then
      redis.call('ZREM', live_of(k, owner), k.id)
    end
    redis.call('HDEL', k.places, k.id)
    redis.call('HINCRBY', k.places, TOTAL, text(-held))
  end
end

local function take_place(k, used, bytes, owner)
  free_place(k)
  redis.call('HSET', k.places, k.id, text(bytes) .. '/' .. owner)
  redis.call('HINCRBY', k.places, TOTAL, text(bytes))
  redis.call('ZADD', k.live, text(used), k.id)
  if owner ~= '' then
    redis.call('ZADD', live_of(k, owner), text(used), k.id)
  end
end

-- The bytes of a record that users set: names and values, in the order of ARGV or of HGETALL.
local KEPT = { id = true, tenant = true, kind = true, status = true, version = true, created_at_ms = true,
  updated_at_ms = true, accessed_at_ms = true, expires_at_ms = true, ttl_ms = true, max_lifetime_ms = true,
  ended_at_ms = true, end_reason = true }

local function bytes_of(flat, first)
  local total = 0
  for i = first, #flat, 2 do
    if not KEPT[flat[i]] and string.sub(flat[i], 1, 1) ~= '_' then
      total = total + #flat[i] + #flat[i + 1]
    end
  end
  return total
end

-- The bytes of a log's entries.
local function bytes_of_list(key)
  local total = 0
  for at = 0, redis.call('LLEN', key) - 1, 1000 do
    for _, entry in ipairs(redis.call('LRANGE', key, at, at + 999)) do
      total = total + #entry
    end
  end
  return total
end

-- The same of a whole session, from its fields and the names of its logs.
local function bytes_of_session(k, flat, first, logs)
  local total = bytes_of(flat, first)
  for name in string.gmatch(logs or '', '[^,]+') do
    total = total + bytes_of_list(k.log .. name)
  end
  return total
end
