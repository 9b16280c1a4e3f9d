-- What a token opens, if anything: the same commands whether it exists or not. The caller judges, as it does for `get`.
-- KEYS[1]  token      hash    what is known of the token
-- ARGV[1]  sessions   string  what the keys of the tenant's records begin with
-- Returns  {{session, kind, print}; {} for another key, the record: {field, value, ...}, TIME}
-- Errors   none
local token = KEYS[1]
local sessions = ARGV[1]

local found = redis.pcall('HMGET', token, 'session', 'kind', 'print')
return { found.err and {} or found, redis.pcall('HGETALL', sessions .. (found[1] or 'none')), redis.call('TIME') }
