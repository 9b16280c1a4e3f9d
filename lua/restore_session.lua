-- Makes an earlier state of a session its newest version, live, whether Redis still holds the session or not. Its logs
-- stay as they are.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  what the caller may write to: see kind_error
-- ARGV[6]  version    count   the highest version that the archive knows of
-- ARGV[7]  updated_at ms      of the state that the archive holds
-- ARGV[8]  ttl        ms      '' for a session without an end
-- ARGV[9]  max_lifetime ms    '' for none; from now on
-- ARGV[10] grace      ms
-- ARGV[11] actor      string
-- ARGV[12] trace      string
-- ARGV[13] changes    JSON    for the event: which state it is
-- ARGV[14] before     JSON    for the event, if Redis does not hold the session: what differs in the archived state
-- ARGV[15] logs       count   how many pairs of a log's name and the key of its staged entries follow
-- ARGV[16...] log, key, field, value    those pairs, then the state's fields
-- Returns  the record: {field, value, ...}; 'unstaged' if Redis does not hold the session, and its logs are not staged
-- Errors   NOTFOUND, OWNER, KIND, CORRUPT, MOVED, CLOSED, RATE, ROOM
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/remove
-- @include include/deadline
-- @include include/enlist
-- @include include/event
-- @include include/told
-- @include include/stage
-- @include include/damage
-- @include include/limit
-- @include include/place
-- @include include/size
local session = KEYS[1]
local prefix, tenant, id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kinds, version, updated = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local ttl, max_lifetime, grace = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local actor, trace, changes, before, logs = ARGV[11], ARGV[12], ARGV[13], ARGV[14], tonumber(ARGV[15])
local first_field = 16 + 2 * logs

local k = session_keys(prefix, tenant, id)
local now = now_ms()
if redis.call('ZSCORE', k.operations, operation) then
  return redis.call('HGETALL', session)
end
local core, refusal = load_core(k)
if core then
  -- @include include/kind
  refusal = kind_error(core, kinds)
  if not refusal and redis.call('HEXISTS', session, '_rotated_to') == 1 then
    refusal = redis.error_reply('NOTFOUND') -- it goes on under another id
  end
end
local texts = texts_from(first_field)
if not refusal then
  local damage = damage_in(texts, id, tenant) or (not logs_are_sound(k, texts._logs) and '_logs')
  refusal = damage and redis.error_reply('CORRUPT ' .. damage)
end
local bytes, owner, is_new = 0, texts.owner or '', not (core and core.live)
if not refusal and redis.call('HEXISTS', k.limits, 'places') == 1 then
  bytes = bytes_of_session(k, ARGV, first_field, core and core.logs)
  for i = 16, core and 15 or first_field - 1, 2 do
    bytes = bytes + bytes_of_list(ARGV[i + 1])
  end
end
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/room
  -- @include include/pass
  limited = not refusal and room_error(k, limits, { sessions = is_new and 1 or 0, owner = owner,
    owner_sessions = (is_new or core.owner ~= owner) and 1 or 0, bytes = bytes - (place_of(k) or 0) })
    or pass(k, limits, core or { owner = owner })
end
if not core and not refusal then
  refusal = barred(k, limits)
end
if limited or refusal then
  return limited or refusal
end
if not core and not are_staged(16, logs) then
  return 'unstaged'
end

if core then
  version, updated = math.max(version, core.version), math.max(updated, core.updated)
end
local deadline = deadline_from(now, ttl, now, max_lifetime)
texts.version, texts.updated_at_ms, texts.accessed_at_ms = text(version + 1), text(math.max(now, updated)), text(now)
texts.ttl_ms = ttl and text(ttl)
-- Counted from the creation, as ever; the new time begins now.
texts.max_lifetime_ms = max_lifetime and text(now - tonumber(texts.created_at_ms) + max_lifetime)
texts.expires_at_ms = deadline and text(deadline)
if core then
  local old, differing = redis.call('HGETALL', session), {}
  for name in pairs(texts) do
    differing[name] = false
  end
  for i = 1, #old, 2 do
    if string.sub(old[i], 1, 1) == '_' then
      texts[old[i]] = old[i + 1] -- its logs, and what of them is archived, are as they were
    end
  end
  for i = 1, #old, 2 do
    if string.find(',' .. (texts._counted or '') .. ',', ',' .. old[i] .. ',', 1, true) then
      texts[old[i]] = old[i + 1] -- and so is what counts the entries
    end
    differing[old[i]] = texts[old[i]] ~= old[i + 1] and old[i + 1] or nil
  end
  differing.version, differing.updated_at_ms, differing._logs = nil, nil, nil
  before = told(differing)
end
local flat = {}
for name, value in pairs(texts) do
  flat[#flat + 1] = name
  flat[#flat + 1] = value
end

unlist(k)
redis.call('DEL', session)
redis.call('HSET', session, unpack(flat))
if not core then
  take_staged(k, 16, logs, texts, nil)
end
place_deadline(k, deadline, grace, texts._logs or '')
enlist(k, texts.kind, texts.status, texts._indexes or '', texts, texts.created_at_ms)
if limits and limits.places then
  take_place(k, now, bytes, owner)
end
redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
redis.call('SREM', k.lost, k.member)
redis.call('ZREM', k.removed, k.member)
remember(k, operation, now)
emit(k, 'restored', texts.kind, texts.version, now, actor, trace, changes, before)
tally(k, 'shift|', texts.kind, texts.client_type or '', '1')
return redis.call('HGETALL', session)
