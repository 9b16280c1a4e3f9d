-- Creates a session, and on the way claims and removes a little of what is due in its partition, so that nothing
-- piles up where no worker runs.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kind       string
-- ARGV[6]  status     string
-- ARGV[7]  indexes    string  indexed fields, comma-separated, "[]" behind one that holds an array
-- ARGV[8]  ttl        ms      '' for a session without an end
-- ARGV[9]  max_lifetime ms    '' for none
-- ARGV[10] grace      ms
-- ARGV[11] retention  ms
-- ARGV[12] events_cap count   events kept where no group reads them
-- ARGV[13] actor      string
-- ARGV[14] trace      string
-- ARGV[15...] field, value    the rest of the record's hash fields, encoded
-- Returns  {created_at ms, expires_at ms or false, how many sessions ended to make room}, the last not to a repeat
-- Errors   EXISTS, CLOSED, MOVED, RATE, LIMIT, ROOM
-- @include include/keys
-- @include include/operation
-- @include include/deadline
-- @include include/enlist
-- @include include/event
-- @include include/tally
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kind, status, indexes = ARGV[5], ARGV[6], ARGV[7]
local ttl, max_lifetime = tonumber(ARGV[8]), tonumber(ARGV[9])
local grace, retention, events_cap = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local actor, trace = ARGV[13], ARGV[14]
local CLAIMS_PER_CREATE = 2

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local done_at = tonumber(redis.call('ZSCORE', k.operations, operation) or '')
if done_at then
  -- A repeat. The session may have changed, or ended and gone, since; the answer is that of the first time.
  return { done_at, deadline_from(done_at, ttl, done_at, max_lifetime) or false }
end
if redis.call('EXISTS', session) == 1 then
  return redis.error_reply('EXISTS')
end
local limits, bytes, owner = limits_of(k), 0, ''
local refusal, evicted = barred(k, limits), 0
if limits and not refusal then
  -- @include include/admit
  for i = 15, #ARGV, 2 do
    bytes = bytes + #ARGV[i] + #ARGV[i + 1]
    owner = ARGV[i] == 'owner' and ARGV[i + 1] or owner
  end
  refusal, evicted = admit(k, limits, now, prefix, grace, retention, owner, bytes)
end
if refusal then
  return refusal
end

local created = text(now)
local deadline = deadline_from(now, ttl, now, max_lifetime)
local record = { 'id', id, 'tenant', tenant, 'kind', kind, 'status', status, 'version', '1', 'created_at_ms', created,
  'updated_at_ms', created, 'accessed_at_ms', created, '_indexes', indexes, unpack(ARGV, 15) }
local function field(name, value)
  if value then
    record[#record + 1] = name
    record[#record + 1] = text(value)
  end
end
field('expires_at_ms', deadline)
field('ttl_ms', ttl)
field('max_lifetime_ms', max_lifetime)
local values = {}
for i = 15, #ARGV, 2 do
  values[ARGV[i]] = ARGV[i + 1]
end

redis.call('HSET', session, unpack(record))
if deadline then
  place_deadline(k, deadline, grace, '')
end
enlist(k, kind, status, indexes, values, created)
if limits and limits.places then
  -- @include include/place
  take_place(k, now, bytes, owner)
end
redis.call('ZADD', k.dirty, 'NX', created, k.member)
remember(k, operation, now)
emit(k, 'created', kind, '1', now, actor, trace, '', '')
tally(k, 'created|', kind, values.client_type or '', '1')

if redis.call('ZRANGEBYSCORE', k.deadlines, '-inf', created, 'LIMIT', '0', '1')[1]
  or redis.call('ZRANGEBYSCORE', k.removals, '-inf', created, 'LIMIT', '0', '1')[1] or is_turn(now) then
  -- @include include/claim_due
  -- @include include/purge
  -- @include include/trim
  claim_due(prefix, now, CLAIMS_PER_CREATE, grace, retention, 'create')
  purge_due(prefix, now, CLAIMS_PER_CREATE, grace, true)
  trim_unread(k.events, events_cap)
end
return { now, deadline or false, evicted }
