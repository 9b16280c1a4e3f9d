-- Moves sessions of a tenant from the partition that it shared to its own, each with all that belongs to it: a call
-- finds it in the one or in the other. Those that are not there any more, or were moved before, cost nothing.
-- KEYS[1]  limits     hash    the tenant's limits in the partition that it leaves
-- ARGV[1]  from       string  that partition's prefix
-- ARGV[2]  to         string  the other's
-- ARGV[3]  tenant     string
-- ARGV[4...] id       string  the sessions; none once all are gone: then its counts leave, too
-- Returns  {how many records were moved, of how many ids}: those behind are for the next call;
--          {-1, 0} where nothing was announced, and so nothing is moved
-- Errors   none
-- @include include/keys
-- @include include/index
-- @include include/place
-- @include include/pace
local limits = KEYS[1]
local from, to, tenant = ARGV[1], ARGV[2], ARGV[3]

start_clock()
if redis.call('HEXISTS', limits, 'moved') == 0 then
  return { -1, 0 }
end

-- Its TTL goes with it. An error: there is none.
local function rename(key, new)
  redis.pcall('RENAME', key, new)
end

local function move_member(key, new, member)
  local score = redis.call('ZSCORE', key, member)
  if score then
    redis.call('ZADD', new, score, member)
    redis.call('ZREM', key, member)
  end
end

local function move_indexes(old, new, raw)
  local kind, status, created = raw[1], raw[2], raw[5]
  if kind and status and tonumber(created or '') then
    redis.call('SADD', new.kinds, kind)
    redis.call('ZREM', status_index(old, kind, status), old.id)
    redis.call('ZADD', status_index(new, kind, status), created, new.id)
    for spec in string.gmatch(raw[4] or '', '[^,]+') do
      local value = redis.call('HGET', old.session, (string.gsub(spec, '%[%]$', '')))
      index_remove(old, spec, value)
      index_add(new, spec, value, created)
    end
  end
end

-- Counts go first, so that the new place knows all labels before anything is counted there. The old one keeps them, at
-- zero, while sessions are there.
local function move_counts(old, new, done)
  local counts = redis.pcall('HGETALL', old)
  for i = 1, counts.err and 0 or #counts, 2 do
    local field, number = counts[i], tonumber(counts[i + 1])
    if string.find(field, '^label|') then
      if redis.pcall('HSETNX', new, field, 1) == 1 then
        redis.pcall('HINCRBY', new, 'labels', 1)
      end
    elseif string.find(field, '|last_ms$') then
      local held = redis.pcall('HGET', new, field)
      redis.pcall('HSET', new, field, text(math.max(tonumber(held) or 0, number or 0)))
    elseif number and number ~= 0 and field ~= 'labels' then
      redis.pcall('HINCRBY', new, field, text(number))
      redis.pcall('HSET', old, field, 0)
    end
  end
  if done then
    redis.call('DEL', old)
  end
end

for _, name in ipairs({ 'stats', 'calls' }) do
  move_counts(session_keys(from, tenant, '')[name], session_keys(to, tenant, '')[name], #ARGV == 3)
end
local moved = 0
for i = 4, #ARGV do
  local old, new = session_keys(from, tenant, ARGV[i]), session_keys(to, tenant, ARGV[i])
  for _, name in ipairs({ 'deadlines', 'dirty', 'removals', 'removed' }) do
    move_member(old[name], new[name], old.member)
  end
  if redis.call('SREM', old.lost, old.member) == 1 then
    redis.call('SADD', new.lost, old.member)
  end
  if redis.call('TYPE', old.session)['ok'] == 'hash' then
    local raw = redis.call('HMGET', old.session, 'kind', 'status', '_logs', '_indexes', 'created_at_ms')
    move_indexes(old, new, raw)
    for name in string.gmatch(raw[3] or '', '[^,]+') do
      rename(old.log .. name, new.log .. name)
    end
    rename(old.lease, new.lease)
    for _, name in ipairs({ 'token', 'tokens', 'families' }) do
      rename(old[name], new[name])
    end
    redis.call('RENAME', old.session, new.session)
    local bytes, owner = place_of(old)
    if bytes then
      local used = redis.call('ZSCORE', old.live, old.id)
      leave_place(old, bytes, owner)
      take_place(new, tonumber(used) or 0, bytes, owner)
    end
    moved = moved + 1
  end
  if is_late() then
    return { moved, i - 3 }
  end
end
return { moved, #ARGV - 3 }
