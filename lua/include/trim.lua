-- @include include/clock
-- Trims the outbox to what every consumer group has acknowledged.
local function smallest(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, a_seq, b_ms, b_seq = tonumber(a_ms), tonumber(a_seq), tonumber(b_ms), tonumber(b_seq)
  if a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq) then
    return a
  end
  return b
end

-- Where there is no group at all nobody reads, and only the newest `cap` events stay. A group in `awaited` that has yet
-- to be made will want all there is, so nothing goes before it is there.
local function trim_events(events, cap, awaited)
  if redis.call('EXISTS', events) == 0 then
    return 0
  end
  local groups = redis.call('XINFO', 'GROUPS', events)
  if #groups == 0 then
    return redis.call('XTRIM', events, 'MAXLEN', '~', cap)
  end
  local keep_from
  local missing = {}
  for _, name in ipairs(awaited) do
    missing[name] = true
  end
  for _, flat in ipairs(groups) do
    local group = {}
    for i = 1, #flat, 2 do
      group[flat[i]] = flat[i + 1]
    end
    missing[group['name']] = nil
    local unread_from = group['last-delivered-id']
    if group['pending'] > 0 then
      unread_from = redis.call('XPENDING', events, group['name'])[2]
    end
    keep_from = keep_from and smallest(keep_from, unread_from) or unread_from
  end
  if next(missing) then
    return 0
  end
  return redis.call('XTRIM', events, 'MINID', keep_from)
end

local function group_names(events)
  local names = {}
  if redis.call('EXISTS', events) == 1 then
    for _, flat in ipairs(redis.call('XINFO', 'GROUPS', events)) do
      names[flat[2]] = true
    end
  end
  return names
end

local function has_group(events, name)
  return group_names(events)[name] == true
end

-- What a client does on the way, where no worker trims. The groups of workers have no colon in their names.
local function trim_unread(events, cap)
  if redis.call('XLEN', events) <= cap then
    return
  end
  for name in pairs(group_names(events)) do
    if not string.find(name, ':', 1, true) then
      return
    end
  end
  trim_events(events, cap, {})
end
