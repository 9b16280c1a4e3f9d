-- @include include/clock
-- @include include/deadline
-- @include include/index
-- @include include/record
-- @include include/event
-- @include include/place
-- @include include/tally
-- @include include/later
-- Ends a record that was read and checked. Shrinking writes come first: a server out of memory refuses a script whose
-- first write may grow, and ends and claims must go through then as well.
-- Returns the fields that it wrote, name and value in turn.
-- ending: status, at (ms), reason ('' for none), event, actor, trace, changes (JSON), goes_on (it is no end to count),
-- book (where to count it, for who writes that later), later (where to put off what is done for many at once),
-- placeless (that the tenant's sessions are known to take no places).
local function finish(k, core, now, grace, retention, ending)
  local later, before = ending.later, nil
  if core.live then
    before = '{"status":"' .. core.status .. '","ended_at_ms":null,"end_reason":null}'
  else
    local ended = redis.call('HMGET', k.session, 'ended_at_ms', 'end_reason')
    before = told({ status = core.status, ended_at_ms = ended[1], end_reason = ended[2] })
  end
  redis.call('UNLINK', k.lease, k.token, k.tokens, k.families)
  take_from(later, k.deadlines, k.member)
  if not ending.placeless then
    free_place(k)
  end
  take_from(later, status_index(k, core.kind, core.status), k.id)
  core.version = core.version + 1
  local write = { 'status', ending.status, 'version', text(core.version), 'updated_at_ms', stamp(core, now),
    'ended_at_ms', text(ending.at) }
  if ending.reason ~= '' then
    write[9], write[10] = 'end_reason', ending.reason
  end
  redis.call('HSET', k.session, unpack(write))
  add_to(later, status_index(k, core.kind, ending.status), text(core.created), k.id)
  add_new_to(later, k.dirty, text(now), k.member)
  place_removal(k, now, retention, grace, core.logs, later)
  emit(k, ending.event, core.kind, core.version, now, ending.actor, ending.trace, ending.changes, before)
  if core.live and not ending.goes_on then
    local book = ending.book or {}
    book_end(book, k, ending.status, core, ending.at)
    if not ending.book then
      write_book(book)
    end
  end
  return write
end
