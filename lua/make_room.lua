-- Makes room within a tenant's limits for what a write wants: claims what is past its deadline, and where the tenant
-- says so ends the least recently used live sessions. In steps of a few milliseconds; the write is sent again then.
-- KEYS[1]  limits     hash    the tenant's limits
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string  the session that is to grow, or to live; it is not ended for itself
-- ARGV[4]  sessions   count   how many more live sessions of the tenant
-- ARGV[5]  owner_sessions count  how many more of the owner's
-- ARGV[6]  bytes      count   how many more bytes
-- ARGV[7]  owner      string
-- ARGV[8]  grace      ms
-- ARGV[9]  retention  ms
-- Returns  1 if there is room, 0 if another call may get further
-- Errors   LIMIT
-- @include include/keys
-- @include include/limit
-- @include include/admit
local key = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]
local sessions, owner_sessions, bytes, owner = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local grace, retention = tonumber(ARGV[8]), tonumber(ARGV[9])
local STEPS = 50

local k = session_keys(prefix, tenant, id)
local limits = key == k.limits and limits_of(k)
if not limits or not limits.places then
  return 1
end
local now = now_ms()
use_place(k, now) -- so that it is the last to go
local wanted = { sessions = sessions, owner_sessions = owner_sessions, owner = owner, bytes = bytes }
local limit, bound, count, further = make_room(k, limits, now, prefix, grace, retention, wanted, STEPS)
if further then
  return 0
end
return limit and limit_error(k, now, limit, bound, count) or 1
