-- What a sweep does to the same sorted set for each of many sessions, it puts off, and does for all of them in one
-- command. `later` holds it by key. One key is only ever added to, or taken from, by those who share a `later`.

-- What a sweep gives to others as `put`, where a lone call gives them redis.call: for ZREM of a member, and ZADD, with
-- or without NX, of a score and a member.
local function putting_off(later)
  return function(command, key, first, second, third)
    local waiting, option = later[key], third and first
    if not waiting then
      waiting = { command, key, option }
      later[key] = waiting
    end
    if second then
      waiting[#waiting + 1] = option and second or first
    end
    waiting[#waiting + 1] = third or second or first
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
