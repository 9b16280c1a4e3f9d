-- @include include/keys
-- @include include/index
-- @include include/deadline
-- @include include/removal
-- @include include/free
-- @include include/place
-- @include include/size
-- @include include/statuses
-- @include include/token
-- @include include/remove
-- Holds one session against all that lists it. What is wrong is told in words; what mends it is put off until all is
-- known, what shrinks first, so that a full server lets it through.
local SLACK_MS = 1000

local function tell(found, word, shrink, grow)
  found.words[word] = true
  found.shrink[#found.shrink + 1] = shrink
  found.grow[#found.grow + 1] = grow
end

-- The score of a member, false where it is not there, or nil where the key is of another type: that one is not mended.
local function score(found, key, member)
  local held = redis.pcall('ZSCORE', key, member)
  if type(held) == 'table' then
    found.words.odd = true
    return nil
  end
  return held and tonumber(held) or false
end

local function unless_entered(found, word, key, member, wanted)
  local held = score(found, key, member)
  if held ~= nil and held ~= wanted then
    tell(found, word, nil, function() redis.call('ZADD', key, text(wanted), member) end)
  end
end

local function if_entered(found, word, key, member)
  if score(found, key, member) then
    tell(found, word, function() redis.call('ZREM', key, member) end)
  end
end

local function if_there(found, word, key)
  if redis.call('EXISTS', key) == 1 then
    tell(found, word, function() redis.call('DEL', key) end)
  end
end

local function examine_indexes(found, k, core)
  local own = status_index(k, core.kind, core.status)
  for _, kind in ipairs(redis.call('SMEMBERS', k.kinds)) do
    for _, statuses in ipairs({ LIVE, ENDED }) do
      for status in pairs(statuses) do
        local key = status_index(k, kind, status)
        if key ~= own then
          if_entered(found, 'index', key, k.id)
        end
      end
    end
  end
  if redis.call('SISMEMBER', k.kinds, core.kind) == 0 then
    tell(found, 'index', nil, function() redis.call('SADD', k.kinds, core.kind) end)
  end
  unless_entered(found, 'index', own, k.id, core.created)
  for spec in string.gmatch(core.more[CORE + 1] or '', '[^,]+') do
    for _, value in ipairs(index_values(spec, redis.call('HGET', k.session, (string.gsub(spec, '%[%]$', ''))))) do
      unless_entered(found, 'index', index_key(k, spec, value), k.id, core.created)
    end
  end
end

-- A key's TTL: `at` is when it is to go, or nil for never; `least`: sooner would be too soon.
local function examine_ttl(found, word, key, now, at, least)
  local ttl = redis.call('PTTL', key)
  if not at and ttl >= 0 then
    tell(found, word, nil, function() redis.call('PERSIST', key) end)
  elseif at and (ttl == -1 or (ttl >= 0 and now + ttl < least - SLACK_MS)) then
    tell(found, word, nil, function() redis.call('PEXPIREAT', key, text(at)) end)
  end
end

local function examine_ttls(found, k, core, now, at, least)
  examine_ttl(found, 'ttl', k.session, now, at, least)
  for name in string.gmatch(core.logs, '[^,]+') do
    examine_ttl(found, 'log', k.log .. name, now, at, least)
  end
end

local function examine_live(found, k, core, now, grace)
  if_entered(found, 'removal', k.removals, k.member)
  if not core.expires then
    if_entered(found, 'deadline', k.deadlines, k.member)
    if_there(found, 'lease', k.lease)
    examine_ttls(found, k, core, now)
    return
  end
  unless_entered(found, 'deadline', k.deadlines, k.member, core.expires)
  examine_ttls(found, k, core, now, math.max(core.expires, now) + grace, core.expires)
  if core.expires > now + SLACK_MS then -- later than that it is about to be claimed
    local ttl = redis.call('PTTL', k.lease)
    if ttl < 0 or math.abs(now + ttl - core.expires) > SLACK_MS then
      tell(found, 'lease', nil, function() redis.call('SET', k.lease, LEASE, 'PXAT', text(core.expires)) end)
    end
  end
end

local function examine_ended(found, k, core, now, grace, retention)
  if_entered(found, 'deadline', k.deadlines, k.member)
  if_there(found, 'lease', k.lease)
  if redis.call('EXISTS', k.token, k.tokens, k.families) > 0 then
    tell(found, 'token', function() drop_tokens(k) end)
  end
  if score(found, k.removals, k.member) == false then
    tell(found, 'removal', nil, function() place_removal(k, now, retention, grace, core.logs, redis.call) end)
  end
  examine_ttls(found, k, core, now, now + math.max(grace, retention) + HOUSEKEEPING_MS, 0)
end

-- Of a tenant with limits on its sessions; `places`: whether all of them have been counted yet.
local function examine_place(found, k, core, places)
  local held, owner = place_of(k)
  if not core.live then
    if held or score(found, k.live, k.id) then
      tell(found, 'place', function()
        free_place(k)
        redis.call('ZREM', k.live, k.id)
      end)
    end
  elseif places and (held or places == 'kept') then
    local bytes = bytes_of_session(k, redis.call('HGETALL', k.session), 1, core.logs)
    local listed = score(found, k.live, k.id) and (core.owner == '' or score(found, live_of(k, core.owner), k.id))
    if not found.words.odd and (held ~= bytes or owner ~= core.owner or not listed) then
      tell(found, 'place', nil, function() take_place(k, core.accessed, bytes, core.owner) end)
    end
  end
end
