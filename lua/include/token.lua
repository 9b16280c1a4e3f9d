-- @include include/clock
-- A session's tokens are listed in one sorted set by when each is over, as "<family>:<kind>:<hash>"; the kinds are
-- a(ccess), r(efresh), and u(sed), a refresh token that was exchanged and is remembered until its time is over.
local DEL_AT_ONCE = 1000

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
  local members, keys, usable = {}, {}, 0
  for i, member in ipairs(listed) do
    local ends = string.find(member, ':', 1, true) or 0
    if not family or string.sub(member, 1, ends - 1) == family then
      members[#members + 1] = member
      keys[#keys + 1] = k.token .. string.sub(member, ends + 3)
      usable = usable + ((i <= over or string.sub(member, ends + 1, ends + 1) == 'u') and 0 or 1)
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
  return usable
end
