-- What every write needs to know of a record before it changes anything, read in one call and checked.
local LIVE = { pending = true, in_progress = true }

-- Returns the core of the record, or nil where there is none, or nil and an error reply where it is damaged.
local function load_core(k)
  local raw = redis.pcall('HMGET', k.session, 'status', 'version', 'created_at_ms', 'expires_at_ms', 'ttl_ms',
    'max_lifetime_ms', 'kind', '_logs', '_indexes')
  if raw.err then
    return nil, redis.error_reply('CORRUPT session')
  end
  if not raw[1] and redis.call('EXISTS', k.session) == 0 then
    return nil
  end
  local core = {
    status = raw[1],
    version = tonumber(raw[2]),
    created = tonumber(raw[3]),
    expires = raw[4] and tonumber(raw[4]) or nil,
    ttl = raw[5] and tonumber(raw[5]) or nil,
    max_lifetime = raw[6] and tonumber(raw[6]) or nil,
    kind = raw[7],
    logs = raw[8] or '',
    indexes = raw[9] or '',
  }
  local damaged = (not core.status and 'status') or (not core.version and 'version')
    or (not core.created and 'created_at') or (raw[4] and not core.expires and 'expires_at')
    or (raw[5] and not core.ttl and 'ttl') or (raw[6] and not core.max_lifetime and 'max_lifetime')
    or (not core.kind and 'kind')
  if damaged then
    return nil, redis.error_reply('CORRUPT ' .. damaged)
  end
  core.live = LIVE[core.status] or false
  return core
end

local function is_overdue(core, now)
  return core.live and core.expires ~= nil and core.expires <= now
end

-- The core of a session that may still be written to, or nil and the error reply that says why not.
local function load_live(k, now)
  local core, damage = load_core(k)
  if damage then
    return nil, damage
  end
  if not core or is_overdue(core, now) or core.status == 'expired' or core.status == 'deleted' then
    return nil, redis.error_reply('NOTFOUND')
  end
  if not core.live then
    return nil, redis.error_reply('ENDED ' .. core.status)
  end
  return core
end

-- An error reply where the caller expects another version, else nil. '' expects nothing.
local function version_error(core, expected)
  if expected ~= '' and tonumber(expected) ~= core.version then
    return redis.error_reply(string.format('CONFLICT %.0f', core.version))
  end
  return nil
end

-- An error reply where the record may not go from its status to `status`, else nil. `allowed`: comma-separated.
local function transition_error(core, status, allowed)
  if not string.find(',' .. allowed .. ',', ',' .. core.status .. ',', 1, true) then
    return redis.error_reply('TRANSITION ' .. core.status .. ' ' .. status)
  end
  return nil
end
