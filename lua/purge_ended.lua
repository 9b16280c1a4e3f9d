-- Removes ended sessions of one tenant whose time to stay is over: one step of what `claim_due` does for all tenants.
-- KEYS[1]  removals   zset    "<tenant>/<id>" by the time to remove it
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  operation  string  this write's random id
-- ARGV[4]  limit      count   how many to remove at most, below 4096
-- ARGV[5]  scan       count   entries to look at, at most; other tenants' are passed over
-- ARGV[6]  score      string  of the entry to go on behind; '' at the start
-- ARGV[7]  last       string  that entry
-- ARGV[8]  grace      ms
-- ARGV[9]  archived   0|1     whether the caller knows of an archive
-- ARGV[10] group      string  the consumer group by which an archive shows
-- Returns  {removed, score, last, complete 0|1, {id, error, ...}}; of a repeat the first, and no end
-- Errors   none
-- @include include/keys
-- @include include/operation
-- @include include/purge
-- @include include/due
local removals = KEYS[1]
local prefix, tenant, operation = ARGV[1], ARGV[2], ARGV[3]
local limit, scan, score, last = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7]
local grace, archived, group = tonumber(ARGV[8]), ARGV[9] == '1', ARGV[10]

local now = now_ms()
local own = session_keys(prefix, tenant, '')
local repeated = repeated_count(own, operation)
if repeated then
  return { repeated, score, last, 0, {} }
end
local found, behind, at, complete, alone = due_of(removals, tenant, now, score, last, limit, scan)
archived = archived or (#found > 0 and has_group(own.events, group))
local removed = 0
local failures, stopped = each_of(removals, own, found, function(k)
  removed = removed + (purge(k, now, grace, archived) and 1 or 0)
end)
if removed > 0 then
  remember_count(own, operation, now, removed)
end
behind, at = place_after(score == '', alone, failures, stopped, behind, at)
complete = complete and not stopped
return { removed, behind, at, complete and 1 or 0, failures }
