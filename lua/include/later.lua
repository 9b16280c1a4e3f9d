-- What a sweep does to the same sorted set for each of many sessions, it puts off, and does for all of them in one
-- command. `later` holds it by key; where there is none, it is done at once. One key is only ever added to, or taken
-- from, by those who share a `later`.
local function put_off(later, member, score, command, key, option)
  local waiting = later[key]
  if not waiting then
    waiting = { command, key, option }
    later[key] = waiting
  end
  if score then
    waiting[#waiting + 1] = score
  end
  waiting[#waiting + 1] = member
end

local function take_from(later, key, member)
  if later then
    put_off(later, member, nil, 'ZREM', key)
  else
    redis.call('ZREM', key, member)
  end
end

local function add_to(later, key, score, member)
  if later then
    put_off(later, member, score, 'ZADD', key)
  else
    redis.call('ZADD', key, score, member)
  end
end

-- The same, unless it is there already.
local function add_new_to(later, key, score, member)
  if later then
    put_off(later, member, score, 'ZADD', key, 'NX')
  else
    redis.call('ZADD', key, 'NX', score, member)
  end
end

-- Does what was put off, all of it whatever one of them meets; returns the first error, or nil.
local function do_later(later)
  local failure
  for _, command in pairs(later) do
    local ok, refusal = pcall(redis.call, unpack(command))
    if not ok then
      failure = failure or refusal
    end
  end
  return failure
end
