-- @include include/clock
-- A session's tokens are listed in one sorted set by when each is over, as "<family>:<kind>:<hash>"; the kinds are
-- a(ccess), r(efresh), and u(sed), a refresh token that was exchanged and is remembered until its time is over.
local DEL_AT_ONCE = 1000
local HASH_DIGITS = 64
-- A script that ends session after session stops once it has dropped so many: each takes Redis some 2 us.
local TOKENS_PER_RUN = 500
local tokens_dropped = 0

-- An error reply where other hands put something else in the place of that set, else nil.
local function listing_error(k)
  local kind = redis.call('TYPE', k.tokens).ok
  return kind ~= 'zset' and kind ~= 'none' and redis.error_reply('CORRUPT tokens') or nil
end

-- An error reply where the tenant has a partition of its own since: that nothing is found here means nothing then.
local function moved_error(k)
  return redis.call('HEXISTS', k.limits, 'moved') == 1 and redis.error_reply('MOVED') or nil
end

-- Drops a session's tokens, or those of one family. Shrinks only, and asks for nothing but the session's id. Returns
-- how many of them could still have been used.
local function drop_tokens(k, family)
  local listed = redis.pcall('ZRANGE', k.tokens, 0, -1)
  if listed.err then
    redis.call('DEL', k.tokens) -- other hands wrote it
    return 0
  end
  if #listed == 0 then
    return 0
  end
  local over = redis.call('ZCOUNT', k.tokens, '-inf', text(now_ms())) -- these are the first ones
  local sub, own, token = string.sub, family and family .. ':', k.token
  local members, keys, usable = family and {} or listed, {}, 0
  for i = 1, #listed do
    local member = listed[i]
    if not own or sub(member, 1, #own) == own then
      if own then
        members[#members + 1] = member
      end
      keys[#keys + 1] = token .. sub(member, -HASH_DIGITS)
      if i > over and sub(member, -HASH_DIGITS - 2, -HASH_DIGITS - 2) ~= 'u' then
        usable = usable + 1
      end
    end
  end
  for i = 1, #keys, DEL_AT_ONCE do
    local last = math.min(i + DEL_AT_ONCE - 1, #keys)
    redis.call('DEL', unpack(keys, i, last))
    if family then
      redis.call('ZREM', k.tokens, unpack(members, i, last))
    end
  end
  if not family then
    redis.call('DEL', k.tokens)
  end
  tokens_dropped = tokens_dropped + #keys
  return usable
end
