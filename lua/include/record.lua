-- @include include/clock
-- @include include/exact
-- What every write needs to know of a record before it changes anything, read in one call and checked.

-- What writes go by of a record, from its texts; or nil and an error reply where it is damaged. Nearly all are live and
-- sound, and a look at all their digits together says so; what does not look so, `damage_in` judges.
local SOUND = '^%l[%l%d_]* [1-9]%d* [1-9]%d* [1-9]%d* [1-9]%d* [1-9]%d* [1-9]%d* [1-9]%d*$'

local function core_of(k, status, version, created, expires, ttl, max_lifetime, kind, logs, updated, accessed, id,
  tenant, owner, client_type, indexes)
  local version_n, created_n, updated_n, accessed_n, expires_n, ttl_n, max_n
  local live = status == 'pending' or status == 'in_progress'
  local is_sound = live and kind and version and created and updated and accessed
    and id == k.id and tenant == k.tenant
    and string.find(kind .. ' ' .. version .. ' ' .. created .. ' ' .. updated .. ' ' .. accessed .. ' '
      .. (expires or '1') .. ' ' .. (ttl or '1') .. ' ' .. (max_lifetime or '1'), SOUND)
  if is_sound then -- and so all are numbers; tonumber would read each twice
    version_n, created_n, updated_n, accessed_n = version + 0, created + 0, updated + 0, accessed + 0
    expires_n, ttl_n, max_n = expires and expires + 0, ttl and ttl + 0, max_lifetime and max_lifetime + 0
    is_sound = version_n + created_n + updated_n + accessed_n + (expires_n or 0) + (ttl_n or 0) + (max_n or 0) <= EXACT
  end
  if not is_sound then
    -- @include include/damage
    local damaged = damage_in({ status = status, version = version, created_at_ms = created, expires_at_ms = expires,
      ttl_ms = ttl, max_lifetime_ms = max_lifetime, kind = kind, updated_at_ms = updated, accessed_at_ms = accessed,
      id = id, tenant = tenant }, k.id, k.tenant)
    if damaged then
      return nil, redis.error_reply('CORRUPT ' .. damaged)
    end
    version_n, created_n, updated_n, accessed_n = version + 0, created + 0, updated + 0, accessed + 0
    expires_n, ttl_n, max_n = expires and expires + 0, ttl and ttl + 0, max_lifetime and max_lifetime + 0
  end
  return { status = status, live = live, kind = kind, logs = logs or '', indexes = indexes or '',
    version = version_n, created = created_n, created_text = created, updated = updated_n, accessed = accessed_n,
    expires = expires_n or nil, ttl = ttl_n or nil, max_lifetime = max_n or nil, owner = owner or '',
    client_type = client_type or '' }
end

-- Returns the core of the record, or nil where there is none, or nil and an error reply where it is damaged. `names`:
-- further fields, whose texts are then in `more`, behind CORE; the deadline's is there at EXPIRES.
local CORE, EXPIRES = 14, 4

local function load_core(k, names)
  local raw = redis.pcall('HMGET', k.session, 'status', 'version', 'created_at_ms', 'expires_at_ms', 'ttl_ms',
    'max_lifetime_ms', 'kind', '_logs', 'updated_at_ms', 'accessed_at_ms', 'id', 'tenant', 'owner', 'client_type',
    unpack(names or {}))
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

-- The core of a session that may still be written to, or nil and the error reply that says why not; from what
-- `load_core` or `load_whole` returned.
local function live_core(now, kinds, core, damage)
  if damage then
    return nil, damage
  end
  if not core or is_overdue(core, now) or core.status == 'expired' or core.status == 'deleted' then
    return nil, redis.error_reply('NOTFOUND')
  end
  if kinds ~= core.kind then -- as it is in most calls
    -- @include include/kind
    local refusal = kind_error(core, kinds)
    if refusal then
      return nil, refusal
    end
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
