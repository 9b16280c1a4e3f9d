-- The bytes of a record that users set: names and values, in the order of ARGV or of HGETALL.
local function bytes_of(flat, first)
  local kept = { id = true, tenant = true, kind = true, status = true, version = true, created_at_ms = true,
    updated_at_ms = true, accessed_at_ms = true, expires_at_ms = true, ttl_ms = true, max_lifetime_ms = true,
    ended_at_ms = true, end_reason = true }
  local total = 0
  for i = first, #flat, 2 do
    if not kept[flat[i]] and string.sub(flat[i], 1, 1) ~= '_' then
      total = total + #flat[i] + #flat[i + 1]
    end
  end
  return total
end

-- The bytes of a log's entries, or of its first `count`.
local function bytes_of_list(key, count)
  local total, last = 0, (count or redis.call('LLEN', key)) - 1
  for at = 0, last, 1000 do
    for _, entry in ipairs(redis.call('LRANGE', key, at, math.min(at + 999, last))) do
      total = total + #entry
    end
  end
  return total
end

-- The same of a whole session, from its fields and the names of its logs.
local function bytes_of_session(k, flat, first, logs)
  local total = bytes_of(flat, first)
  for name in string.gmatch(logs or '', '[^,]+') do
    total = total + bytes_of_list(k.log .. name)
  end
  return total
end
