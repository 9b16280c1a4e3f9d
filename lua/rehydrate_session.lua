-- Puts a session back as the archive holds it, unless Redis holds it as new or newer. One that ended is not put back;
-- an older live state of it goes. A session past its deadline comes back as such, for a worker to claim.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  grace      ms
-- ARGV[5]  actor      string
-- ARGV[6]  trace      string
-- ARGV[7]  read_at    ms      when the record was read from the archive; since then its partition is guarded
-- ARGV[8]  logs       count   how many pairs of a log's name and the key of its staged entries follow
-- ARGV[9...] log, key, field, value    those pairs, then the whole record as archived
-- Returns  'loaded', 'replaced' (an older state), 'removed' (an older state of one that ended), 'same' or 'newer' (it
--          was left alone), 'ended' (or its tenant is being deleted), 'damaged' (what Redis or the archive holds),
--          'unstaged' (stage the logs again), 'outdated' (it went since it was read, that was too long ago, or its
--          tenant has moved: read it again)
-- Errors   none
-- @include include/keys
-- @include include/statuses
-- @include include/integer
-- @include include/record
-- @include include/remove
-- @include include/deadline
-- @include include/enlist
-- @include include/removal
-- @include include/event
-- @include include/stage
-- @include include/damage
-- @include include/limit
-- @include include/place
-- @include include/size
local session = KEYS[1]
local prefix, tenant, id = ARGV[1], ARGV[2], ARGV[3]
local grace, actor, trace = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local read_at, logs = tonumber(ARGV[7]), tonumber(ARGV[8])
local first_field = 9 + 2 * logs
local FRESH_MS = 60000

local k = session_keys(prefix, tenant, id)
local now = now_ms()
local texts = texts_from(first_field)
local version, updated, created = positive(texts.version), positive(texts.updated_at_ms), positive(texts.created_at_ms)
local expires = texts.expires_at_ms and positive(texts.expires_at_ms)
if damage_in(texts, id, tenant) or (texts.expires_at_ms and not expires) then
  return 'damaged'
end
local core, damage = load_core(k)
if damage or not logs_are_sound(k, texts._logs) then
  return 'damaged'
end
-- An expiry that was claimed by an outdated deadline, as after Redis was restored from an older copy, is none: the
-- archive knows of a later one, which only a touch, or a version that Redis lost, can have brought.
local mistaken = core and core.status == 'expired' and LIVE[texts.status] and core.expires
  and version >= core.version - 1 and (not expires or expires > core.expires)
if core and not mistaken then
  if core.updated == updated and core.version == version then
    return 'same'
  end
  if core.updated > updated or (core.updated == updated and core.version > version) then
    return 'newer'
  end
end
if ENDED[texts.status] then
  if core then
    remove(k)
    return 'removed'
  end
  return 'ended'
end
local limits = limits_of(k)
local bar = barred(k, limits)
if bar then
  return string.find(bar.err, 'MOVED', 1, true) and 'outdated' or 'ended'
end
if now > read_at + FRESH_MS or (not core and redis.call('ZSCORE', k.removed, k.member)) then
  return 'outdated'
end
if not are_staged(9, logs) then
  return 'unstaged'
end

local firsts
if core then
  firsts = firsts_of(k, core.logs)
  for name in string.gmatch(unlist(k), '[^,]+') do
    if not string.find(',' .. (texts._logs or '') .. ',', ',' .. name .. ',', 1, true) then
      redis.call('DEL', k.log .. name)
      firsts['_first:' .. name] = nil
    end
  end
  redis.call('DEL', session)
  redis.call('HSET', session, unpack(ARGV, first_field))
else
  redis.call('HSET', session, unpack(ARGV, first_field)) -- grows first: a full server refuses it as a whole
  forget(k) -- what a record that was lost left behind
  forget_status(k)
end
take_staged(k, 9, logs, texts, firsts)
-- The record of one that is long overdue must stay until a worker has claimed it.
place_deadline(k, expires, expires and math.max(grace, now - expires + HOUSEKEEPING_MS), texts._logs or '')
enlist(k, texts.kind, texts.status, texts._indexes or '', texts, text(created))
-- It was within the limits when it lived; now it takes its place again.
if limits and limits.places then
  local bytes = bytes_of_session(k, ARGV, first_field, texts._logs)
  take_place(k, positive(texts.accessed_at_ms), bytes, texts.owner or '')
end
redis.call('SREM', k.lost, k.member)
emit(k, 'rehydrated', texts.kind, texts.version, now, actor, trace, '', '')
tally(k, 'shift|', texts.kind, texts.client_type or '', '1')
return core and 'replaced' or 'loaded'
