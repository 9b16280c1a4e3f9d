-- @include include/clock
-- @include include/integer
-- What every write needs to know of a record before it changes anything, read in one call and checked.
local LIVE = { pending = true, in_progress = true }
local ENDED = { completed = true, failed = true, terminated = true, expired = true, deleted = true }

-- What writes go by of a record, from its texts; or nil and an error reply where it is damaged. Nearly all are sound,
-- and a look at all their digits together says so; what does not look so, `damage_in` judges.
local function core_of(k, status, version, created, expires, ttl, max_lifetime, kind, logs, indexes, updated, accessed,
  id, tenant, owner, client_type)
  local core = { status = status, live = LIVE[status] or false, kind = kind, logs = logs or '', indexes = indexes or '',
    version = tonumber(version or ''), created = tonumber(created or ''), updated = tonumber(updated or ''),
    accessed = tonumber(accessed or ''), expires = expires and tonumber(expires) or nil,
    ttl = ttl and tonumber(ttl) or nil, max_lifetime = max_lifetime and tonumber(max_lifetime) or nil,
    owner = owner or '', client_type = client_type or '' }
  if core.version and core.created and core.updated and core.accessed and kind and id == k.id and tenant == k.tenant
    and (core.live or ENDED[status]) and string.find(kind, '^[a-z][a-z0-9_]*$')
    and not string.find(
      version .. created .. updated .. accessed .. (expires or '') .. (ttl or '') .. (max_lifetime or ''), '%D') then
    local deadline, span = core.expires or expires and 0 or 1, core.ttl or ttl and 0 or 1
    local cap = core.max_lifetime or max_lifetime and 0 or 1
    if core.version > 0 and core.created > 0 and core.updated > 0 and core.accessed > 0 and deadline > 0 and span > 0
      and cap > 0 and core.version + core.created + core.updated + core.accessed + deadline + span + cap <= EXACT then
      return core
    end
  end
  -- @include include/damage
  local damaged = damage_in({ status = status, version = version, created_at_ms = created, expires_at_ms = expires,
    ttl_ms = ttl, max_lifetime_ms = max_lifetime, kind = kind, updated_at_ms = updated, accessed_at_ms = accessed,
    id = id, tenant = tenant }, k.id, k.tenant)
  if damaged then
    return nil, redis.error_reply('CORRUPT ' .. damaged)
  end
  return core
end

-- Returns the core of the record, or nil where there is none, or nil and an error reply where it is damaged. `names`:
-- further fields, whose texts are then in `more`, behind CORE.
local CORE = 15

local function load_core(k, names)
  local raw = redis.pcall('HMGET', k.session, 'status', 'version', 'created_at_ms', 'expires_at_ms', 'ttl_ms',
    'max_lifetime_ms', 'kind', '_logs', '_indexes', 'updated_at_ms', 'accessed_at_ms', 'id', 'tenant', 'owner',
    'client_type', unpack(names or {}))
  if raw.err then
    return nil, redis.error_reply('CORRUPT session')
  end
  if not raw[1] and redis.call('EXISTS', k.session) == 0 then
    return nil
  end
  local core, refusal = core_of(k, unpack(raw, 1, CORE))
  if core then
    core.more = raw
  end
  return core, refusal
end

local function is_overdue(core, now)
  return core.live and core.expires ~= nil and core.expires <= now
end

-- What `updated_at` becomes: it never goes back, even where the clock does, for the archive tells newer from older by
-- it. A write that does not count the version up says so with a `step` of 1.
local function stamp(core, now, step)
  return text(math.max(now, core.updated + (step or 0)))
end

-- An error reply where the record is not one of the caller's, else nil. `expects`: its kinds, comma-separated, '' for
-- all; and behind a newline, if it acts for an owner, that owner. A stranger hears no more than of an unknown id.
local function kind_error(core, expects)
  local kinds, owner = string.match(expects, '^([^\n]*)\n(.*)$')
  if owner and owner ~= core.owner then
    return redis.error_reply('OWNER')
  end
  kinds = kinds or expects
  if kinds ~= '' and not string.find(',' .. kinds .. ',', ',' .. core.kind .. ',', 1, true) then
    return redis.error_reply('KIND ' .. core.kind)
  end
  return nil
end

-- The core of a session that may still be written to, or nil and the error reply that says why not; from what it was
-- loaded as.
local function live_core(core, damage, now, kinds)
  if damage then
    return nil, damage
  end
  if not core or is_overdue(core, now) or core.status == 'expired' or core.status == 'deleted' then
    return nil, redis.error_reply('NOTFOUND')
  end
  local refusal = kind_error(core, kinds)
  if refusal then
    return nil, refusal
  end
  if not core.live then
    return nil, redis.error_reply('ENDED ' .. core.status)
  end
  return core
end

local function load_live(k, now, kinds, names)
  local core, damage = load_core(k, names)
  return live_core(core, damage, now, kinds)
end

-- An error reply where the caller expects another version, else nil. '' expects nothing.
local function version_error(core, expected)
  if expected ~= '' and tonumber(expected) ~= core.version then
    return redis.error_reply(string.format('CONFLICT %.0f', core.version))
  end
  return nil
end

-- An error reply where the record may not go from its status to `status`, else nil. `allowed` holds "<kind>:<status>"
-- for each status that it may come from, and "<kind>:" for each kind that the caller knows; "*" is any other kind.
local function transition_error(core, status, allowed)
  local listed = ',' .. allowed .. ','
  local kind = string.find(listed, ',' .. core.kind .. ':,', 1, true) and core.kind or '*'
  if not string.find(listed, ',' .. kind .. ':' .. core.status .. ',', 1, true) then
    return redis.error_reply('TRANSITION ' .. core.status .. ' ' .. status)
  end
  return nil
end
