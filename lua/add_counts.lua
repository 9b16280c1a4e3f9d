-- Adds to counts of a tenant, once however often it is sent. A tenant that is not there, or being deleted, gets none:
-- what a client still had to tell would otherwise come back behind its deletion.
-- KEYS[1]  counts     hash    by name
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  operation  string  this write's random id
-- ARGV[4]  stamp      string  a field that gets the time; '' for none
-- ARGV[5...] name, count      what is added to which count
-- Returns  1 if they are counted, by this call or the one that it repeats; 0 where there is no such tenant
-- Errors   CLOSED, MOVED
-- @include include/keys
-- @include include/operation
-- @include include/limit
local counts = KEYS[1]
local prefix, tenant, operation, stamp = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local k = session_keys(prefix, tenant, '')
if redis.call('ZSCORE', k.operations, operation) then
  return 1
end
local limits = limits_of(k)
if limits and barred(k, limits) then
  return barred(k, limits)
end
if redis.call('EXISTS', k.kinds) == 0 then
  return 0
end
local now = now_ms()
for i = 5, #ARGV, 2 do
  redis.call('HINCRBY', counts, ARGV[i], ARGV[i + 1])
end
if stamp ~= '' then
  redis.call('HSET', counts, stamp, text(now))
end
remember(k, operation, now)
return 1
