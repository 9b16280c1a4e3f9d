-- Gives up an event for a hook: puts it among the dead letters, once, and where no delivery runs it again.
-- KEYS[1]  ledger     zset    events that the hook is done with, by time
-- KEYS[2]  dead       stream  the hook's dead letters
-- KEYS[3]  running    string  the job in which the hook has the event in hand
-- KEYS[4]  tried      string  how often the hook failed on the event
-- KEYS[5]  counts     hash    how often something went wrong, by what
-- ARGV[1]  id         string  the event's id; "unreadable-..." for what is no event
-- ARGV[2]  token      string  names the caller's job
-- ARGV[3]  hook       string  its name in the settings
-- ARGV[4]  scope      string  its name in keys
-- ARGV[5]  event      JSON    the event, or as much as is kept of what is none
-- ARGV[6]  tries      count
-- ARGV[7]  reason     string
-- ARGV[8]  keep       ms      how long the ledger is kept at least
-- ARGV[9]  unreadable 0|1
-- Returns  {'buried', id of the entry}, {'known', ''} where it was done or buried before, or {'held', another job}
-- Errors   none
-- @include include/clock
local ledger, dead, running, tried, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, token, hook, scope = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local event, tries, reason = ARGV[5], ARGV[6], ARGV[7]
local keep, unreadable = tonumber(ARGV[8]), ARGV[9] == '1'

if redis.call('ZSCORE', ledger, id) then
  return { 'known', '' }
end
local holder = redis.call('GET', running)
if holder and holder ~= token then
  return { 'held', holder }
end
local at = text(now_ms())
redis.call('DEL', running, tried) -- first, so that a full server lets the rest through
-- The same time in both places: so reviving it can tell whether the ledger still speaks of this burial.
redis.call('ZADD', ledger, at, id)
if redis.call('PTTL', ledger) < keep then
  redis.call('PEXPIRE', ledger, text(keep))
end
local entry = redis.call('XADD', dead, '*', 'hook', hook, 'id', id, 'event', event, 'tries', tries, 'reason', reason,
  'at_ms', at)
redis.call('HINCRBY', counts, 'dead_letters', 1)
redis.call('HINCRBY', counts, 'dead_letters:' .. scope, 1)
if unreadable then
  redis.call('HINCRBY', counts, 'unreadable_events', 1)
end
return { 'buried', entry }
