-- @include include/clock
-- @include include/removal
-- @include include/index
-- @include include/record
-- @include include/event
-- @include include/free
-- Ends a record that was read and checked. Shrinking writes come first: a server out of memory refuses a script whose
-- first write may grow, and ends and claims must go through then as well.
-- Returns the fields that it wrote, name and value in turn. The caller counts the end: see tally.lua.
-- ending: status, reason ('' for none), event, actor, trace, changes (JSON). `at`: when it ended, as a text; nil: now.
-- `put`: what changes sorted sets, where many share a command: see later.lua. `placeless`: the tenant's sessions are
-- known to take no places.
local function finish(k, core, now, grace, retention, ending, at, put, placeless)
  put = put or redis.call
  local before = '{"status":"' .. core.status .. '","ended_at_ms":null,"end_reason":null}'
  if not core.live then
    -- @include include/told
    local ended = redis.call('HMGET', k.session, 'ended_at_ms', 'end_reason')
    before = told({ status = core.status, ended_at_ms = ended[1], end_reason = ended[2] })
  end
  put('ZREM', k.deadlines, k.member)
  if not placeless then
    free_place(k)
  end
  redis.call('UNLINK', k.lease, k.token, k.tokens, k.families)
  put('ZREM', status_index(k, core.kind, core.status), k.id)
  core.version = core.version + 1
  local version = text(core.version)
  local write = { 'status', ending.status, 'version', version, 'updated_at_ms', stamp(core, now),
    'ended_at_ms', at or text(now) }
  if ending.reason ~= '' then
    write[9], write[10] = 'end_reason', ending.reason
  end
  redis.call('HSET', k.session, unpack(write))
  put('ZADD', status_index(k, core.kind, ending.status), core.created_text, k.id)
  put('ZADD', k.dirty, 'NX', text(now), k.member)
  place_removal(k, now, retention, grace, core.logs, put)
  emit(k, ending.event, core.kind, version, now, ending.actor, ending.trace, ending.changes, before)
  return write
end
