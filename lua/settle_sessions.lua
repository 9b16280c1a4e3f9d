-- After the archive committed records: each is no longer dirty if that is still its state, and gone if its time is up.
-- One session's error leaves the others as they are. 100 sessions take Redis less than half a millisecond, or some 2 ms
-- where all of them go.
-- KEYS[1]  dirty      zset    the partition's sessions that wait for the archive
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2...] member, version, updated_at, count, and count times log, length: of each session its "<tenant>/<id>", the
--          state as archived (ms), and up to which position each log is archived; a bounded log is cut then
-- Returns  for each session 'settled', 'removed', 'changed' (still dirty), 'gone', or the error reply of a command
-- Errors   none
-- @include include/keys
-- @include include/lose
-- @include include/log
local dirty = KEYS[1]
local prefix = ARGV[1]

-- Beyond those that it keeps a bounded log goes as far as it is archived.
local function cut_log(member, name, archived, write)
  local log = load_log(member_keys(prefix, member), name)
  local cut = log and log.keep and math.min(log.first + log.length - log.keep, archived) or 0
  if not log or cut <= log.first then
    return nil
  end
  write[#write + 1] = '_first:' .. name
  write[#write + 1] = text(cut)
  return log.key, cut - log.first
end

local function settle(member, session, version, updated_at, first, last)
  local state = redis.pcall('HMGET', session, 'version', 'updated_at_ms')
  if state.err then
    return state
  end
  if not state[1] and redis.call('EXISTS', session) == 0 then
    if redis.call('ZREM', dirty, member) == 1 then -- who removes a session properly leaves nothing dirty
      lose(member_keys(prefix, member), now_ms(), 'lost')
    end
    return 'gone'
  end
  local unchanged = state[1] == version and state[2] == updated_at
  if unchanged then
    redis.call('ZREM', dirty, member)
    local removal = tonumber(redis.call('ZSCORE', prefix .. 'removals', member) or '')
    if removal and (removal <= now_ms() or removal % 1 > 0) then -- a fraction: it was only put off until now
      remove(member_keys(prefix, member))
      return 'removed'
    end
  end
  for i = first, last, 2 do
    local write = { '_archived:' .. ARGV[i], ARGV[i + 1] }
    local key, surplus = cut_log(member, ARGV[i], tonumber(ARGV[i + 1]), write)
    local written = redis.pcall('HSET', session, unpack(write))
    if type(written) == 'table' then
      return { err = (string.gsub(written.err, '^@user_script: %d+: %-', '')) } -- out of memory; 6.2 tells where, too
    end
    if key then
      redis.call('LTRIM', key, text(surplus), -1)
    end
  end
  return unchanged and 'settled' or 'changed'
end

local outcomes = {}
local at = 2
while at <= #ARGV do
  local member, logs = ARGV[at], tonumber(ARGV[at + 3])
  local session = prefix .. string.gsub(member, '/', ':session:', 1)
  outcomes[#outcomes + 1] = settle(member, session, ARGV[at + 1], ARGV[at + 2], at + 4, at + 3 + 2 * logs)
  at = at + 4 + 2 * logs
end
return outcomes
