-- @include include/claim_due
-- @include include/free
-- @include include/broken
-- @include include/price
-- Lets a new session in, making room for it where that may be done: what is past its deadline is claimed first, and if
-- the tenant says so the least recently used live sessions end. Bounded: who needs more room asks make_room.lua.
local ROOMS_PER_CALL = 20
local ended_for_room = 0

-- Ends the least recently used session, of that owner or of all, but not `k` itself. Returns whether there was one.
local function evict(k, now, prefix, grace, retention, owner)
  local id = redis.call('ZRANGE', live_of(k, owner), 0, 0)[1]
  if not id or id == k.id then
    return false
  end
  local one = session_keys(prefix, k.tenant, id)
  local core = load_core(one)
  if core and core.live then
    finish(one, core, now, grace, retention, { status = 'terminated', reason = 'evicted', event = 'ended',
      actor = 'sojourn', trace = '', changes = '{"status":"terminated","end_reason":"evicted"}' })
    count_end(one, 'terminated', core, now)
    ended_for_room = ended_for_room + 1
  end
  free_place(one) -- also of one whose record is gone or damaged
  redis.call('ZREM', live_of(k, owner), id)
  return true
end

-- Makes room in up to `most` steps. Returns nil if there is some; or else the limit in the way, its bound and how much
-- there is, and whether another call may get further.
local function make_room(k, limits, now, prefix, grace, retention, wanted, most)
  local limit, bound, count
  for _ = 1, most do
    limit, bound, count = broken(k, limits, wanted)
    if not limit then
      return nil
    end
    if redis.call('ZCOUNT', k.deadlines, '-inf', text(now)) > 0 then
      claim_due(prefix, now, 1, grace, retention, 'create')
    elseif limits.policy ~= 'evict_lru' or wanted[limit] > bound
      or not evict(k, now, prefix, grace, retention, limit == 'owner_sessions' and wanted.owner or '') then
      return limit, bound, count, false
    end
    if is_late(AT_LEAST) then
      break
    end
  end
  limit, bound, count = broken(k, limits, wanted)
  return limit, bound, count, limit ~= nil
end

-- The error reply for a session that may not be created, else nil; and how many others ended for it.
local function admit(k, limits, now, prefix, grace, retention, owner, bytes)
  local payment, refusal = price(k, limits, { 'creates', 'owner_creates', 'operations', 'owner_operations' }, owner)
  if refusal then
    return refusal
  end
  local limit, bound, count, further
  if limits.places then
    local wanted = { sessions = 1, owner_sessions = 1, owner = owner, bytes = bytes }
    limit, bound, count, further = make_room(k, limits, now, prefix, grace, retention, wanted, ROOMS_PER_CALL)
    if further or (limit and ended_for_room > 0) then -- errors of this script say that nothing was done
      return redis.error_reply(string.format('ROOM 1 1 %.0f %s', bytes, owner))
    end
  end
  pay(payment)
  return limit and limit_error(k, now, limit, bound, count) or nil, ended_for_room
end
