-- Has sessions archived again, logs from their beginning on, as far as their records are there.
-- KEYS[1]  dirty      zset    "<tenant>/<id>" by first unarchived change
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3...] id       string  the sessions
-- Returns  how many are in line now that were not
-- Errors   none
-- @include include/keys
-- @include include/clock
local dirty = KEYS[1]
local prefix, tenant = ARGV[1], ARGV[2]

local k = session_keys(prefix, tenant, '')
local now, marked = text(now_ms()), 0
for i = 3, #ARGV do
  local session, member = k.session .. ARGV[i], k.member .. ARGV[i]
  local logs = redis.pcall('HGET', session, '_logs')
  if logs and not logs.err or redis.call('EXISTS', session) == 1 then
    marked = marked + redis.call('ZADD', dirty, 'NX', now, member)
    for name in string.gmatch(type(logs) == 'string' and logs or '', '[^,]+') do
      redis.call('HDEL', session, '_archived:' .. name)
    end
  end
end
return marked
