-- Removes a stretch of what is a tenant's, and adds up what went beside the mark that it is being deleted, so that the
-- count is right however often that is begun anew.
-- KEYS[1]  limits     hash    the tenant's limits, with the mark
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  what       string  'session', 'key', 'member' (of a sorted set), 'lost' (of a set), 'event' or 'group'
-- ARGV[4]  place      string  the key of the set, or stream; '' where there is none
-- ARGV[5]  name       string  under which what goes is counted; '' for sessions, and to count nothing
-- ARGV[6...] item     string  ids, keys, members, or names
-- Returns  {how many went, of how many items}: those behind are for the next call;
--          {-1, 0} where the tenant is not marked, and so nothing is removed
-- Errors   none
-- @include include/keys
-- @include include/remove
-- @include include/record
-- @include include/index
-- @include include/pace
local limits = KEYS[1]
local prefix, tenant, what = ARGV[1], ARGV[2], ARGV[3]
local place, name = ARGV[4], ARGV[5]
local FIRST = 6

start_clock()
if redis.call('HEXISTS', limits, 'closed') == 0 then
  return { -1, 0 }
end

local function count(kind, number)
  if number > 0 then
    redis.call('HINCRBY', limits, 'erased:' .. kind, number)
  end
end

local function erase_session(id)
  local k = session_keys(prefix, tenant, id)
  if redis.call('TYPE', k.session)['ok'] ~= 'hash' then
    return 0 -- whatever else is called so goes with the other keys
  end
  for log in string.gmatch(redis.call('HGET', k.session, '_logs') or '', '[^,]+') do
    count('logs', redis.call('EXISTS', k.log .. log))
  end
  count('tokens', count_tokens(k))
  remove(k)
  count('sessions', 1)
  return 1
end

local erase = {
  session = erase_session,
  key = function(key)
    return redis.call('UNLINK', key)
  end,
  member = function(member)
    return redis.call('ZREM', place, member)
  end,
  lost = function(member)
    return redis.call('SREM', place, member)
  end,
  event = function(id)
    return redis.call('XDEL', place, id)
  end,
  group = function(group)
    return redis.call('XGROUP', 'DESTROY', place, group)
  end,
}

local went, dealt = 0, 0
for i = FIRST, #ARGV do
  went, dealt = went + erase[what](ARGV[i]), dealt + 1
  if is_late() then
    break
  end
end
if name ~= '' then
  count(name, went)
end
return { went, dealt }
