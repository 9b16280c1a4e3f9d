-- Claims one session whose lease has expired, if its hash agrees that it is past its deadline.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  grace      ms
-- ARGV[5]  retention  ms
-- Returns  'expired', 'lost', 'damaged', 'moved' or 'ended'; 'unknown' where no deadline is known for the session
-- Errors   none
-- @include include/keys
local session = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]
local grace, retention = tonumber(ARGV[4]), tonumber(ARGV[5])

local k = session_keys(prefix, tenant, id)
local function claimed()
  -- @include include/claim
  -- @include include/tally
  local now = now_ms()
  local outcome, core = claim(k, now, grace, retention)
  if outcome == 'expired' then
    count_end(k, 'expired', core, core.expires)
    count_claim(k, 'notification', core, now)
  end
  return outcome
end

-- Every listener hears of every lease; all but the first find the deadline gone, and nothing to do.
if not redis.call('ZSCORE', k.deadlines, k.member) then
  -- @include include/statuses
  local texts = redis.pcall('HMGET', session, 'status', 'expires_at_ms')
  if texts.err or not texts[2] then
    return 'unknown'
  elseif ENDED[texts[1]] then
    return 'ended'
  end
end
return claimed()
