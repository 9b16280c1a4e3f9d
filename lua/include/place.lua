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

-- Takes it out, `bytes` and `owner` being what `place_of` says.
local function leave_place(k, bytes, owner)
  redis.call('ZREM', k.live, k.id)
  if owner ~= '' then
    redis.call('ZREM', live_of(k, owner), k.id)
  end
  redis.call('HDEL', k.places, k.id)
  redis.call('HINCRBY', k.places, TOTAL, text(-bytes))
end

local function take_place(k, used, bytes, owner)
  local held, whose = place_of(k)
  if held then
    leave_place(k, held, whose)
  end
  redis.call('HSET', k.places, k.id, text(bytes) .. '/' .. owner)
  redis.call('HINCRBY', k.places, TOTAL, text(bytes))
  redis.call('ZADD', k.live, text(used), k.id)
  if owner ~= '' then
    redis.call('ZADD', live_of(k, owner), text(used), k.id)
  end
end
