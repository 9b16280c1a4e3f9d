-- Takes a token for a call that is no script itself: a read, sent before this on the same connection.
-- KEYS[1]  limits     hash    the tenant's limits
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string  the session that is read
-- Returns  1
-- Errors   RATE
-- @include include/keys
-- @include include/price
local key = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]

local k = session_keys(prefix, tenant, id)
if key ~= k.limits then
  return 1
end
local held = redis.call('HMGET', key, 'operations', 'operations_burst', 'owner_operations', 'owner_operations_burst')
local rates = { operations = held[1], operations_burst = held[2], owner_operations = held[3],
  owner_operations_burst = held[4] }
local owner = held[3] and redis.pcall('HGET', k.session, 'owner')
local payment, refusal = price(k, rates, { 'operations', 'owner_operations' }, type(owner) == 'string' and owner or '')
if refusal then
  return refusal
end
pay(payment)
return 1
