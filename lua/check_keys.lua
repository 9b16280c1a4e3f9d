-- Holds keys that belong to sessions against the records: leases, logs, and what there is of tokens; and deletes those
-- whose session is gone, or knows nothing of them, where asked to.
-- KEYS[1]  limits     hash    the tenant's limits
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  mends      0|1
-- ARGV[4...] what, name  string  'log' and "<id>:<log>", or 'lease', 'token', 'tokens' or 'families' and the session's
--          id; for each key
-- Returns  for each key 'fine' or 'stray'
--          fewer: those behind are for the next call
-- Errors   none
-- @include include/keys
-- @include include/statuses
-- @include include/record
-- @include include/pace
local limits = KEYS[1]
local prefix, tenant, mends = ARGV[1], ARGV[2], ARGV[3] == '1'

start_clock()

local function fields(session, ...)
  local raw = redis.pcall('HMGET', session, ...)
  return not raw.err and raw or nil -- what is damaged is left to a person
end

local function lease_is_stray(id)
  local k = session_keys(prefix, tenant, id)
  local raw = fields(k.session, 'status', 'expires_at_ms')
  return k.lease, raw and not (LIVE[raw[1]] and raw[2])
end

local function log_is_stray(name)
  local id, log = string.match(name, '^([^:]*):(.*)$')
  local k = session_keys(prefix, tenant, id or '')
  local raw = fields(k.session, '_logs')
  return k.log .. (log or ''), raw and not string.find(',' .. (raw[1] or '') .. ',', ',' .. (log or '') .. ',', 1, true)
end

local function of_tokens(name)
  return function(id)
    local k = session_keys(prefix, tenant, id)
    local raw = fields(k.session, 'status')
    return k[name], raw and not LIVE[raw[1]]
  end
end

-- Who is being deleted loses all of them in any case.
local is_closed = redis.pcall('HEXISTS', limits, 'closed') == 1
local judges = { lease = lease_is_stray, log = log_is_stray }
for _, name in ipairs({ 'token', 'tokens', 'families' }) do
  judges[name] = of_tokens(name)
end
local outcomes = {}
for i = 4, #ARGV, 2 do
  local key, is_stray = judges[ARGV[i]](ARGV[i + 1])
  is_stray = is_stray and not is_closed and redis.call('EXISTS', key) == 1
  if is_stray and mends then
    redis.call('DEL', key)
  end
  outcomes[#outcomes + 1] = is_stray and 'stray' or 'fine'
  if is_late() then
    break
  end
end
return outcomes
