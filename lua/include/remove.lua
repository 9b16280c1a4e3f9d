-- @include include/clock
-- @include include/index
-- @include include/record
-- Removes a record with everything that belongs to it. Without the hash only what needs no field of it can go; index
-- entries it left behind are dropped by the listing that meets them.
local function forget(k)
  redis.call('ZREM', k.removals, k.member)
  redis.call('ZREM', k.dirty, k.member)
  redis.call('ZREM', k.deadlines, k.member)
  redis.call('DEL', k.lease)
end

local function remove(k)
  forget(k)
  local raw = redis.call('HMGET', k.session, 'kind', 'status', '_logs', '_indexes')
  if raw[1] and raw[2] then
    redis.call('ZREM', status_index(k, raw[1], raw[2]), k.id)
  end
  for spec in string.gmatch(raw[4] or '', '[^,]+') do
    index_remove(k, spec, redis.call('HGET', k.session, (string.gsub(spec, '%[%]$', ''))))
  end
  for name in string.gmatch(raw[3] or '', '[^,]+') do
    redis.call('DEL', k.log .. name)
  end
  redis.call('DEL', k.session)
end
