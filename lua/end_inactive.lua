-- Ends live sessions that have not been used for some time: one step of a walk, the newest first. What it ends it has
-- just read, so whoever uses a session first keeps it.
-- KEYS[1]  kinds      set     the tenant's kinds
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  operation  string  this write's random id
-- ARGV[4]  expects    string  whose sessions: see kind_error
-- ARGV[5]  statuses   string  comma-separated, of live ones
-- ARGV[6]  max_age    ms      for so long it was neither read, as far as that is noted, nor written
-- ARGV[7]  gain       ratio   of the TTL by which a read may be later than is noted
-- ARGV[8]  newest     ms      created at or before; '' at the start
-- ARGV[9]  after      string  id of the last one seen, created at `newest`; '' at the start
-- ARGV[10] limit      count   how many to end at most, below 4096
-- ARGV[11] dry        0|1     whether only to tell what would end
-- ARGV[12] allowed    string  what may be terminated: see transition_error
-- ARGV[13] reason     string  '' for none
-- ARGV[14] grace      ms
-- ARGV[15] retention  ms
-- ARGV[16] actor      string
-- ARGV[17] trace      string
-- ARGV[18] changes    JSON    the changed fields, for the event
-- Returns  {candidates, skipped, created_at ms and id to go on behind, complete 0|1, {id ended, ...}, {id, error, ..}};
--          candidates: at the start how many are old enough; of a repeat: how many were ended, as a number, and no end
-- Errors   none
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/kind
-- @include include/transition
-- @include include/finish
-- @include include/tally
-- @include include/index
-- @include include/walk
-- @include include/pace
local kinds_key = KEYS[1]
local prefix, tenant, operation, expects, statuses = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local max_age, gain, newest, after = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local limit, dry, allowed, reason = tonumber(ARGV[10]), ARGV[11] == '1', ARGV[12], ARGV[13]
local grace, retention, actor, trace, changes = tonumber(ARGV[14]), tonumber(ARGV[15]), ARGV[16], ARGV[17], ARGV[18]
local WALKED_AT_ONCE = 50
local LOOKS_PER_END = 4 -- what looking at a session and leaving it costs Redis, against ending it

local k = session_keys(prefix, tenant, '')
local now = now_ms()
local repeated = repeated_count(k, operation)
if repeated then
  return { 0, 0, newest, after, 0, repeated, {} }
end
local starts = newest == ''
newest = starts and now - max_age or tonumber(newest)

local owner = string.match(expects, '\n(.*)$')
local kinds = string.match(expects, '^[^\n]*')
local driver, wanted_status = {}, {}
for status in string.gmatch(statuses, '[^,]+') do
  wanted_status[status] = true
end
if owner then
  driver[1] = index_key(k, 'owner', owner)
else
  local function drive(kind)
    for status in pairs(wanted_status) do
      driver[#driver + 1] = status_index(k, kind, status)
    end
  end
  if kinds == '' then
    for _, kind in ipairs(redis.call('SMEMBERS', kinds_key)) do
      drive(kind)
    end
  else
    for kind in string.gmatch(kinds, '[^,]+') do
      drive(kind)
    end
  end
end

local candidates = 0
for _, key in ipairs(starts and driver or {}) do
  candidates = candidates + redis.call('ZCOUNT', key, '-inf', text(newest))
end

local ended, failures, skipped = {}, {}, 0
local function fail(id, failure)
  -- @include include/failure
  failures[#failures + 1] = id
  failures[#failures + 1] = failure_text(failure)
end

local ending = { status = 'terminated', reason = reason, event = 'ended', actor = actor, trace = trace,
  changes = changes }

local function look_at(id)
  local core, damage = load_core(rekey(k, id))
  if damage then
    fail(id, damage)
    return
  end
  -- What is gone, has ended or is past its deadline is for others; what is not the caller's is not told of.
  if not core or not wanted_status[core.status] or is_overdue(core, now) or kind_error(core, expects) then
    return
  end
  local refusal = transition_error(core, 'terminated', allowed)
  local idle = now - math.max(core.accessed, core.updated) - math.floor(gain * (core.ttl or 0))
  if idle < max_age then
    skipped = skipped + 1
  elseif refusal then
    fail(id, refusal)
  else
    if not dry then
      finish(k, core, now, grace, retention, ending)
      count_end(k, 'terminated', core, now)
    end
    ended[#ended + 1] = id
  end
end

local scan, complete, spent, is_over = LOOKS_PER_END * limit, false, 0, false
while not complete and spent < scan and not is_over do
  local count = math.min(spent == 0 and limit or scan, WALKED_AT_ONCE) -- most often the first few are all it takes
  local entries = walk(driver, newest, after, '0', count)
  complete = #entries < count
  for _, entry in ipairs(entries) do
    if spent >= scan or is_over then
      complete = false
      break
    end
    local before = #ended
    local ok, failure = pcall(look_at, entry.id)
    if not ok then
      fail(entry.id, failure)
    end
    spent = spent + (#ended > before and LOOKS_PER_END or 1)
    newest, after = entry.score, entry.id
    is_over = scan >= AT_LEAST and is_late(AT_LEAST)
  end
end
if #ended > 0 and not dry then
  remember_count(k, operation, now, #ended)
end
return { candidates, skipped, text(newest), after, complete and 1 or 0, ended, failures }
