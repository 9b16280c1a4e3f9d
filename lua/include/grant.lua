-- @include include/clock
-- @include include/token
-- @include include/event
-- Giving out a pair of tokens: what issuing and refreshing have in common.
local PRUNED_AT_ONCE = 20
local ROOM_STEPS = 100 -- where a limit was lowered by more, the next call goes on

local function tell_revoked(k, core, now, actor, trace, family, count, reason)
  emit(k, 'token_revoked', core.kind, text(core.version), now, actor, trace,
    cjson.encode({ family = family, revoked = count, reason = reason }), '')
end

-- Takes out some of the access and refresh tokens that are over. Returns how many.
local function prune(k, now)
  local over = redis.call('ZRANGEBYSCORE', k.tokens, '-inf', text(now), 'LIMIT', 0, PRUNED_AT_ONCE)
  for _, hash in ipairs(over) do
    local token = token_of(k, hash)
    local f = token and family_of(k, token.family)
    redis.call('HDEL', k.token, hash)
    redis.call('ZREM', k.tokens, hash)
    if f then
      f.size = f.size - 1
      f.access = f.access == hash and NONE or f.access
      f.refresh = f.refresh == hash and NONE or f.refresh
      forget_used(k, f, now, PRUNED_AT_ONCE)
      settle_family(k, f)
    end
  end
  return #over
end

-- The largest family but for the member `keep`, of several the one whose tokens are over first; nil: there is none.
local function largest(k, keep)
  while true do
    local top = redis.call('ZREVRANGE', k.families, 0, 1, 'WITHSCORES')
    local size, own = top[2], nil
    if top[1] == keep then
      size = top[4]
    end
    for _, member in ipairs(size and redis.call('ZRANGEBYSCORE', k.families, size, size, 'LIMIT', 0, 2) or {}) do
      own = own or (member ~= keep and member)
    end
    local f = own and family_of(k, string.match(own, '%w*$'))
    if f and f.member == own then
      return f
    elseif not own then
      return nil
    end
    redis.call('ZREM', k.families, own) -- other hands wrote it
  end
end

-- The family that is to go so that there is room for `more` tokens, not `keep`; nil where there is. What is over, and
-- what is left of families that ended, makes room first.
local function in_the_way(k, now, more, limit, keep)
  for _ = 1, ROOM_STEPS do
    if count_tokens(k) + more <= limit then
      return nil
    end
    if prune(k, now) == 0 then
      local f = largest(k, keep)
      if not f or (forget_used(k, f, now, FORGOTTEN_AT_ONCE) == 0 and not has_ended(f)) then
        return f
      end
      settle_family(k, f)
    end
  end
  return nil
end

-- Lets the largest families go, but not `keep`, until no more than `limit` tokens are left.
local function make_room(k, core, now, keep, limit, actor, trace)
  for _ = 1, ROOM_STEPS do
    local f = in_the_way(k, now, 0, limit, keep)
    if not f then
      return
    end
    tell_revoked(k, core, now, actor, trace, f.name, drop_family(k, f, now), 'limit')
  end
end

-- Has a key live as long as its longest-lived token.
local function outlive(key, now, last)
  local ttl = redis.call('PTTL', key)
  if ttl < 0 or now + ttl < last then
    redis.call('PEXPIREAT', key, text(last))
  end
end

-- Writes an access token and, unless its hash is '', the refresh token by which it can be renewed, for family `f`;
-- neither outlives the session's absolute cap. pair: access and refresh with hash, print and ttl. `exchanged`: the
-- refresh token of the family that they are given for, with its hash; nil for the first pair.
local function grant(k, core, now, f, pair, exchanged)
  local cap = core.max_lifetime and core.created + core.max_lifetime or math.huge
  local former, last = f.access, 0
  for _, kind in ipairs({ 'access', 'refresh' }) do
    local each = pair[kind]
    if each.hash ~= '' then
      local over = math.min(now + each.ttl, cap)
      redis.call('HSET', k.token, each.hash, kind .. ' ' .. f.name .. ' ' .. text(over) .. ' ' .. each.print)
      redis.call('ZADD', k.tokens, text(over), each.hash)
      last, f.size = math.max(last, over), f.size + 1
      f[kind], f[kind .. '_ttl'] = each.hash, text(each.ttl)
    end
  end
  f.issued, f.last = text(now), text(last)
  if exchanged then
    redis.call('HSET', k.token, exchanged.hash, string.format('used %s %.0f %s', f.name, exchanged.over, f.refresh))
    redis.call('ZREM', k.tokens, exchanged.hash)
    drop_token(k, f, former, now)
    f.oldest = f.oldest == NONE and exchanged.hash or f.oldest
    forget_used(k, f, now, PRUNED_AT_ONCE)
  end
  settle_family(k, f)
  for _, key in ipairs({ k.token, k.tokens, k.families }) do
    outlive(key, now, last)
  end
  prune(k, now)
end

-- When a token is over as things stand: at its own time, or at its session's deadline. `otherwise`: where it has gone
-- since, which only a repeat can find.
local function is_over_at(k, hash, otherwise)
  local own = tonumber(redis.call('ZSCORE', k.tokens, hash) or otherwise)
  local deadline = tonumber(redis.call('HGET', k.session, 'expires_at_ms') or own)
  return math.min(own, deadline)
end

local function granted(k, access, refresh, done_at)
  return { is_over_at(k, access, done_at), refresh ~= '' and is_over_at(k, refresh, done_at) }
end
