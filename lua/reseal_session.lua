-- Puts secrets of a session under another key. Each text is replaced only if it is still the one that was read, so that
-- nothing that was written meanwhile is lost. No new version, for nothing changes that a client sees; but `updated_at`
-- moves on as by a touch, so that the archive takes the new texts. The session may have ended.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4...] field, old, new  fields, the sealed text that was read in each, and the one that takes its place
-- Returns  how many texts were replaced
-- Errors   CORRUPT
-- @include include/keys
-- @include include/record
local session = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local core, damage = load_core(k)
if not core then
  return damage or 0
end
local write = { 'updated_at_ms', stamp(core, now, 1) }
for i = 4, #ARGV, 3 do
  if redis.call('HGET', session, ARGV[i]) == ARGV[i + 1] then
    write[#write + 1] = ARGV[i]
    write[#write + 1] = ARGV[i + 2]
  end
end
local replaced = (#write - 2) / 2
if replaced > 0 then
  redis.call('HSET', session, unpack(write))
  redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
end
return replaced
