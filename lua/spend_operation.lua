-- Takes a token for a call that is no script itself: a read, sent before this on the same connection.
-- KEYS[1]  limits     hash    the tenant's limits
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string  the session that is read
-- Returns  1
-- Errors   RATE
-- @include include/keys
-- @include include/limit
local key = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]

local k = session_keys(prefix, tenant, id)
local owner = redis.pcall('HGET', k.session, 'owner')
return key == k.limits and pass(k, limits_of(k), { owner = type(owner) == 'string' and owner or '' }) or 1
