-- Claims what is due of one tenant, earliest first: one step of the sweep of a client that serves that tenant alone.
-- KEYS[1]  deadlines  zset    "<tenant>/<id>" by deadline
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  operation  string  this write's random id
-- ARGV[4]  limit      count   how many to claim at most, below 4096
-- ARGV[5]  scan       count   entries to look at, at most; other tenants' are passed over
-- ARGV[6]  score      string  of the entry to go on behind; '' at the start
-- ARGV[7]  last       string  that entry
-- ARGV[8]  grace      ms
-- ARGV[9]  retention  ms
-- Returns  {expired, lost, damaged, score, last, complete 0|1, {id, error, ...}}; of a repeat the first, and no end
-- Errors   none
-- @include include/keys
-- @include include/operation
-- @include include/claim
-- @include include/tally
-- @include include/due
local deadlines = KEYS[1]
local prefix, tenant, operation = ARGV[1], ARGV[2], ARGV[3]
local limit, scan, score, last = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7]
local grace, retention = tonumber(ARGV[8]), tonumber(ARGV[9])

local now = now_ms()
local own = session_keys(prefix, tenant, '')
local repeated = repeated_count(own, operation)
if repeated then
  return { repeated, 0, 0, score, last, 0, {} }
end
local counts = { expired = 0, lost = 0, damaged = 0 }
local found, behind, at, complete, alone = due_of(deadlines, tenant, now, score, last, limit, scan)
local placeless = redis.call('EXISTS', own.places) == 0
local failures, stopped = each_of(deadlines, own, found, function(k)
  local outcome, core = claim(k, now, grace, retention, nil, placeless)
  if outcome == 'expired' then
    count_end(k, 'expired', core, core.expires)
    count_claim(k, 'call', core, now)
  end
  if counts[outcome] then
    counts[outcome] = counts[outcome] + 1
  end
end)
if counts.expired > 0 then
  remember_count(own, operation, now, counts.expired)
end
behind, at = place_after(score == '', alone, failures, stopped, behind, at)
complete = complete and not stopped
return { counts.expired, counts.lost, counts.damaged, behind, at, complete and 1 or 0, failures }
