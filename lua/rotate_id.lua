-- Gives a live session another id. Its record, logs and deadline go on under the new one; what stays under the old one
-- is a deleted record, so that the archive learns of its end. All tokens end.
-- KEYS[1]  session    hash    the session's record
-- KEYS[2]  successor  hash    the record under the new id
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  operation  string  this write's random id
-- ARGV[5]  kinds      string  comma-separated, those that the caller writes to; '' for all
-- ARGV[6]  expected   count   the version it must have; '' for any
-- ARGV[7]  new_id     string
-- ARGV[8]  grace      ms
-- ARGV[9]  retention  ms
-- ARGV[10] actor      string
-- ARGV[11] trace      string
-- ARGV[12...] field, value    texts that are others under the new id
-- Returns  the record under the new id: {field, value, ...}
-- Errors   NOTFOUND, KIND, ENDED, CORRUPT, CONFLICT, EXISTS, RATE
-- @include include/keys
-- @include include/operation
-- @include include/record
-- @include include/deadline
-- @include include/enlist
-- @include include/finish
-- @include include/place
-- @include include/limit
local session, successor = KEYS[1], KEYS[2]
local prefix, tenant, id, operation, kinds, expected = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local new_id, grace, retention, actor, trace = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], ARGV[11]
local first_field = 12

local k, heir = session_keys(prefix, tenant, id), session_keys(prefix, tenant, new_id)
local now = now_ms()
if redis.call('ZSCORE', k.operations, operation) then
  return redis.call('HGETALL', successor)
end
local core, refusal = live_core(now, kinds, load_core(k))
refusal = refusal or version_error(core, expected)
if not refusal and redis.call('EXISTS', successor) == 1 then
  refusal = redis.error_reply('EXISTS')
end
local limits, limited = limits_of(k), nil
if limits then
  -- @include include/pass
  limited = pass(k, limits, core)
end
if limited or refusal then
  return limited or refusal
end

-- What of its logs is archived is so under the old id.
local texts, of_old_logs, flat = {}, { '_logs' }, {}
local old = redis.call('HGETALL', session)
for i = 1, #old, 2 do
  if string.sub(old[i], 1, 10) == '_archived:' then
    of_old_logs[#of_old_logs + 1] = old[i]
  else
    texts[old[i]] = old[i + 1]
  end
end
for i = first_field, #ARGV, 2 do
  texts[ARGV[i]] = ARGV[i + 1]
end
texts.id, texts.version, texts.updated_at_ms = new_id, text(core.version + 1), stamp(core, now)
for name, value in pairs(texts) do
  flat[#flat + 1] = name
  flat[#flat + 1] = value
end

redis.call('HSET', successor, unpack(flat)) -- grows first: a full server refuses it as a whole
for name in string.gmatch(core.logs, '[^,]+') do
  if redis.call('EXISTS', k.log .. name) == 1 then
    redis.call('RENAME', k.log .. name, heir.log .. name)
  end
end
place_deadline(heir, core.expires, grace, core.logs)
enlist(heir, core.kind, core.status, texts._indexes or '', texts, core.created_text)
-- After the old id's: the archive must not hold both as live.
redis.call('ZADD', heir.dirty, text(now + 1), heir.member)

redis.call('HSET', session, '_rotated_to', new_id) -- by which it is told from one that may be restored
redis.call('HDEL', session, unpack(of_old_logs))
core.logs = ''
local bytes, owner = place_of(k)
finish(k, core, now, grace, retention, { status = 'deleted', reason = 'rotated', event = 'rotated',
  actor = actor, trace = trace,
  changes = cjson.encode({ status = 'deleted', end_reason = 'rotated', rotated_to = new_id }) })
if bytes then
  take_place(heir, now, bytes, owner)
end
emit(heir, 'rotated', core.kind, text(core.version), now, actor, trace, cjson.encode({ rotated_from = id }), '')
remember(k, operation, now)
return redis.call('HGETALL', successor)
