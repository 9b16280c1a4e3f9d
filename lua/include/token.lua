-- @include include/clock
-- A session's tokens are listed in one sorted set by when each is over, as "<family>:<kind>:<hash>"; the kinds are
-- a(ccess), r(efresh), and u(sed), a refresh token that was exchanged and is remembered until its time is over.
local DEL_AT_ONCE = 1000

-- An error reply where other hands put something else in the place of that set, else nil.
local function listing_error(k)
  local kind = redis.call('TYPE', k.tokens).ok
  return kind ~= 'zset' and kind ~= 'none' and redis.error_reply('CORRUPT tokens') or nil
end

-- Drops a session's tokens, or those of one family. Shrinks only, and asks for nothing but the session's id. Returns
-- how many of them could still have been used.
local function drop_tokens(k, family)
  local listed = redis.pcall('ZRANGEBYSCORE', k.tokens, '-inf', '+inf', 'WITHSCORES')
  if listed.err then
    redis.call('DEL', k.tokens) -- other hands wrote it
    return 0
  end
  local now, members, keys, usable = now_ms(), {}, {}, 0
  for i = 1, #listed, 2 do
    local own, kind, hash = string.match(listed[i], '^(%w+):(%a):(%w+)$')
    if hash and (not family or own == family) then
      members[#members + 1] = listed[i]
      keys[#keys + 1] = k.token .. hash
      usable = usable + ((kind == 'u' or tonumber(listed[i + 1]) <= now) and 0 or 1)
    end
  end
  for i = 1, #keys, DEL_AT_ONCE do
    local last = math.min(i + DEL_AT_ONCE - 1, #keys)
    redis.call('DEL', unpack(keys, i, last))
    redis.call('ZREM', k.tokens, unpack(members, i, last))
  end
  if #listed > 0 and not family then
    redis.call('DEL', k.tokens)
  end
  return usable
end
