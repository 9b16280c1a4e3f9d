-- @include include/clock
-- @include include/token
-- @include include/event
-- Giving out a pair of tokens: what issuing and refreshing have in common.

-- The names of the session's families, the largest first; of several, the one first whose tokens are over first.
local function families(k)
  local listed = redis.call('ZRANGE', k.tokens, 0, -1, 'WITHSCORES')
  local names, size, last = {}, {}, {}
  for i = 1, #listed, 2 do
    local family = string.match(listed[i], '^%w+')
    if not size[family] then
      names[#names + 1] = family
      size[family] = 0
    end
    size[family], last[family] = size[family] + 1, tonumber(listed[i + 1])
  end
  table.sort(names, function(a, b)
    if size[a] ~= size[b] then
      return size[a] > size[b]
    end
    return last[a] < last[b] or (last[a] == last[b] and a < b)
  end)
  return names
end

local function tell_revoked(k, core, now, actor, trace, family, count, reason)
  emit(k, 'token_revoked', core.kind, core.version, now, actor, trace,
    cjson.encode({ family = family, revoked = count, reason = reason }), '')
end

-- Whether as many more tokens, used ones counted, would be too many.
local function is_crowded(k, now, more, limit)
  return redis.call('ZCOUNT', k.tokens, '(' .. text(now), '+inf') + more > limit
end

-- Lets the largest families go, but not the one just written, until no more than `limit` tokens are left.
local function make_room(k, core, now, keep, limit, actor, trace)
  redis.call('ZREMRANGEBYSCORE', k.tokens, '-inf', text(now))
  if not is_crowded(k, now, 0, limit) then
    return
  end
  for _, family in ipairs(families(k)) do
    if family ~= keep and is_crowded(k, now, 0, limit) then
      tell_revoked(k, core, now, actor, trace, family, drop_tokens(k, family), 'limit')
    end
  end
end

local function write_token(k, kind, each, at, now, pair)
  local key = k.token .. each.hash
  redis.call('HSET', key, 'session', k.id, 'kind', kind, 'family', pair.family, 'print', each.print,
    'expires_at_ms', text(at), 'issued_at_ms', text(now), 'since_ms', text(pair.since))
  redis.call('PEXPIREAT', key, text(at))
  redis.call('ZADD', k.tokens, text(at), pair.family .. ':' .. string.sub(kind, 1, 1) .. ':' .. each.hash)
  return key
end

-- Writes an access token and, unless its hash is '', the refresh token by which it can be renewed. Neither outlives the
-- session's absolute cap. pair: family, since (ms), and access and refresh with hash, print and ttl each.
local function grant(k, core, now, pair)
  local cap = core.max_lifetime and core.created + core.max_lifetime or math.huge
  write_token(k, 'access', pair.access, math.min(now + pair.access.ttl, cap), now, pair)
  if pair.refresh.hash ~= '' then
    local key = write_token(k, 'refresh', pair.refresh, math.min(now + pair.refresh.ttl, cap), now, pair)
    redis.call('HSET', key, 'access', pair.access.hash, 'access_ttl_ms', text(pair.access.ttl), 'refresh_ttl_ms',
      text(pair.refresh.ttl))
  end
  local last = redis.call('ZRANGE', k.tokens, -1, -1, 'WITHSCORES')
  redis.call('PEXPIREAT', k.tokens, text(tonumber(last[2])))
end

-- When a token is over as things stand: at its own time, or at its session's deadline. `otherwise`: where it has gone
-- since, which only a repeat can find.
local function is_over_at(k, hash, otherwise)
  local own = tonumber(redis.call('HGET', k.token .. hash, 'expires_at_ms') or otherwise)
  local deadline = tonumber(redis.call('HGET', k.session, 'expires_at_ms') or own)
  return math.min(own, deadline)
end

local function granted(k, access, refresh, done_at)
  return { is_over_at(k, access, done_at), refresh ~= '' and is_over_at(k, refresh, done_at) }
end
