-- @include include/clock
-- @include include/deadline
-- @include include/index
-- @include include/record
-- @include include/event
-- @include include/place
-- @include include/tally
-- @include include/token
-- Ends a record that was read and checked. Shrinking writes come first: a server out of memory refuses a script whose
-- first write may grow, and ends and claims must go through then as well.
-- Returns the fields that it wrote, name and value in turn.
-- ending: status, at (ms), reason ('' for none), event, actor, trace, changes (JSON), goes_on (it is no end to count),
-- book (where to count it, for who writes that later).
local function finish(k, core, now, grace, retention, ending)
  local before = { status = core.status, ended_at_ms = false, end_reason = false }
  if not core.live then
    local ended = redis.call('HMGET', k.session, 'ended_at_ms', 'end_reason')
    before.ended_at_ms, before.end_reason = ended[1], ended[2]
  end
  redis.call('ZREM', k.deadlines, k.member)
  redis.call('DEL', k.lease)
  free_place(k)
  drop_tokens(k)
  redis.call('ZREM', status_index(k, core.kind, core.status), k.id)
  core.version = core.version + 1
  local write = { 'status', ending.status, 'version', text(core.version), 'updated_at_ms', stamp(core, now),
    'ended_at_ms', text(ending.at) }
  if ending.reason ~= '' then
    write[9], write[10] = 'end_reason', ending.reason
  end
  redis.call('HSET', k.session, unpack(write))
  redis.call('ZADD', status_index(k, core.kind, ending.status), text(core.created), k.id)
  redis.call('ZADD', k.dirty, 'NX', text(now), k.member)
  place_removal(k, now, retention, grace, core.logs)
  emit(k, ending.event, core.kind, core.version, now, ending.actor, ending.trace, ending.changes,
    told(before))
  if core.live and not ending.goes_on then
    local book = ending.book or {}
    book_end(book, k, ending.status, core, ending.at)
    if not ending.book then
      write_book(book)
    end
  end
  return write
end
