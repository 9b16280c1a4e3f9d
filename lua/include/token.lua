-- @include include/clock
-- A session's tokens are fields of one hash, by the SHA-256 of their texts: "<kind> <family> <over at> <rest>". Kinds
-- are access, refresh, and used, a refresh token that was exchanged and is remembered until its time is over. The rest
-- is what a client's fingerprint must come to, '' for any; of a used one the token that it was exchanged for: so the
-- used ones of a family are a chain, the oldest first, that ends at its refresh token. A field by the family's name
-- says what all of them share. One sorted set has the access and refresh tokens by when each is over, another the
-- families by size, so nothing that ends tokens walks through all of them.
local TOKEN = '^(%l+) (%w+) (%d+) (%S*)$'
local FAMILY = '^since (%d+) issued (%d+) until (%d+) access (%S+) for (%d+) refresh (%S+) for (%d+) used (%S+)$'
local NONE = '-'
local ENDED_FAMILY = 1000000 -- more than any size: what is left of one that ended goes first
local FORGOTTEN_AT_ONCE = 100 -- each takes Redis some 3 us

-- An error reply where other hands put something else in the place of these, else nil.
local function listing_error(k)
  for key, wanted in pairs({ [k.token] = 'hash', [k.tokens] = 'zset', [k.families] = 'zset' }) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= wanted and kind ~= 'none' then
      return redis.error_reply('CORRUPT tokens')
    end
  end
  return nil
end

-- An error reply where the tenant has a partition of its own since: that nothing is found here means nothing then.
local function moved_error(k)
  return redis.call('HEXISTS', k.limits, 'moved') == 1 and redis.error_reply('MOVED') or nil
end

-- What is known of the token with that hash: kind, family, over (ms) and rest; nil where there is none.
local function token_of(k, hash)
  local found = redis.pcall('HGET', k.token, hash)
  local kind, family, over, rest = string.match(type(found) == 'string' and found or '', TOKEN)
  return kind and { kind = kind, family = family, over = tonumber(over), rest = rest } or nil
end

-- The session's family of that name, or nil.
local function family_of(k, name)
  local found = redis.call('HGET', k.token, name) or ''
  local since, issued, last, access, access_ttl, refresh, refresh_ttl, oldest = string.match(found, FAMILY)
  if not since then
    return nil
  end
  local member = last .. ':' .. name
  local size = tonumber(redis.call('ZSCORE', k.families, member) or 0) % ENDED_FAMILY
  return { name = name, since = since, issued = issued, last = last, access = access, access_ttl = access_ttl,
    refresh = refresh, refresh_ttl = refresh_ttl, oldest = oldest, member = member, size = size }
end

local function has_ended(f)
  return f.access == NONE and f.refresh == NONE
end

-- A family's own field, as text; its numbers may be texts.
local function family_text(f)
  return string.format('since %s issued %s until %s access %s for %s refresh %s for %s used %s', f.since, f.issued,
    f.last, f.access, f.access_ttl, f.refresh, f.refresh_ttl, f.oldest)
end

-- Writes down what became of a family; nothing is left of one without tokens.
local function settle_family(k, f)
  local member = f.last .. ':' .. f.name
  local is_over = has_ended(f) and f.oldest == NONE
  if f.member and (is_over or f.member ~= member) then
    redis.call('ZREM', k.families, f.member)
  end
  if is_over then
    redis.call('HDEL', k.token, f.name)
    if redis.call('EXISTS', k.families) == 0 then
      redis.call('UNLINK', k.token, k.tokens)
    end
  else
    redis.call('HSET', k.token, f.name, family_text(f))
    redis.call('ZADD', k.families, text((has_ended(f) and ENDED_FAMILY or 0) + math.max(f.size, 1)), member)
    f.member = member
  end
end

-- Forgets used tokens of a family, the oldest first: those that are over, of one that has ended all; up to `most`.
local function forget_used(k, f, now, most)
  local gone = {}
  while f.oldest ~= NONE and #gone < most do
    local token = token_of(k, f.oldest)
    if not token or token.kind ~= 'used' then
      f.oldest = NONE -- the chain's end
    elseif token.over > now and not has_ended(f) then
      break
    else
      gone[#gone + 1] = f.oldest
      f.oldest = token.rest
    end
  end
  if #gone > 0 then
    redis.call('HDEL', k.token, unpack(gone))
    f.size = f.size - #gone
  end
  return #gone
end

-- Takes an access or refresh token out. Returns whether it could still have been used.
local function drop_token(k, f, hash, now)
  if hash == NONE then
    return false
  end
  local over = tonumber(redis.call('ZSCORE', k.tokens, hash) or 0)
  redis.call('HDEL', k.token, hash)
  redis.call('ZREM', k.tokens, hash)
  f.size = f.size - 1
  return over > now
end

-- Ends a family. Its used tokens are forgotten some at a time, and prove nothing until then. Returns how many of its
-- tokens could still have been used.
local function drop_family(k, f, now)
  local usable = (drop_token(k, f, f.access, now) and 1 or 0) + (drop_token(k, f, f.refresh, now) and 1 or 0)
  f.access, f.refresh = NONE, NONE
  forget_used(k, f, now, FORGOTTEN_AT_ONCE)
  settle_family(k, f)
  return usable
end

-- Ends all of a session's tokens. Shrinks only, and asks for nothing but the session's id.
local function drop_tokens(k)
  redis.call('UNLINK', k.token, k.tokens, k.families)
end

-- How many tokens are remembered of a session.
local function count_tokens(k)
  local fields, families = redis.pcall('HLEN', k.token), redis.pcall('ZCARD', k.families)
  return type(fields) == 'number' and type(families) == 'number' and fields - families or 0
end
