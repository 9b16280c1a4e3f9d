-- @include include/clock
-- What every write needs to know of a record before it changes anything, read in one call and checked.
local LIVE = { pending = true, in_progress = true }
local ENDED = { completed = true, failed = true, terminated = true, expired = true, deleted = true }
local EXACT = 9007199254740991 -- 2^53 - 1: beyond it Lua's numbers, and most JSON readers, are no longer exact

-- Text as an integer, or nil: tonumber alone would take '0x10', '1e999' and 'nan' as well, and a later write fail.
local function integer(value)
  local number = value and string.find(value, '^%-?%d+$') and tonumber(value)
  return number and math.abs(number) <= EXACT and number or nil
end

local function positive(value)
  local number = integer(value)
  return number and number > 0 and number or nil
end

-- The first field of a record, as texts by name, that no record of ours can have so; nil if it is sound.
local function damage_in(texts, id, tenant)
  return (not (LIVE[texts.status] or ENDED[texts.status]) and 'status') or (not positive(texts.version) and 'version')
    or (not positive(texts.created_at_ms) and 'created_at_ms')
    or (texts.expires_at_ms and not integer(texts.expires_at_ms) and 'expires_at_ms')
    or (texts.ttl_ms and not positive(texts.ttl_ms) and 'ttl_ms')
    or (texts.max_lifetime_ms and not positive(texts.max_lifetime_ms) and 'max_lifetime_ms')
    or (not (texts.kind and string.find(texts.kind, '^[a-z][a-z0-9_]*$')) and 'kind')
    or (not positive(texts.updated_at_ms) and 'updated_at_ms')
    or (not positive(texts.accessed_at_ms) and 'accessed_at_ms')
    or (texts.id ~= id and 'id') or (texts.tenant ~= tenant and 'tenant') or nil
end

-- What writes go by of a record, from its texts; or nil and an error reply where it is damaged. Nearly all are sound,
-- and a look at all their digits together says so; what does not look so, `damage_in` judges.
local function core_of(k, status, version, created, expires, ttl, max_lifetime, kind, logs, indexes, updated, accessed,
  id, tenant, owner, client_type)
  local core = { status = status, live = LIVE[status] or false, kind = kind, logs = logs or '', indexes = indexes or '',
    version = tonumber(version or ''), created = tonumber(created or ''), updated = tonumber(updated or ''),
    accessed = tonumber(accessed or ''), expires = expires and tonumber(expires) or nil,
    ttl = ttl and tonumber(ttl) or nil, max_lifetime = max_lifetime and tonumber(max_lifetime) or nil,
    owner = owner or '', client_type = client_type or '', created_text = created }
  local numbers = { core.version or 0, core.created or 0, core.updated or 0, core.accessed or 0,
    core.expires or not expires and 1 or 0, core.ttl or not ttl and 1 or 0,
    core.max_lifetime or not max_lifetime and 1 or 0 }
  if math.min(unpack(numbers)) > 0 and math.max(unpack(numbers)) <= EXACT and id == k.id and tenant == k.tenant
    and (core.live or ENDED[status]) and kind and string.find(kind, '^[a-z][a-z0-9_]*$') and not string.find(
      version .. created .. updated .. accessed .. (expires or '') .. (ttl or '') .. (max_lifetime or ''), '%D') then
    return core
  end
  local damaged = damage_in({ status = status, version = version, created_at_ms = created, expires_at_ms = expires,
    ttl_ms = ttl, max_lifetime_ms = max_lifetime, kind = kind, updated_at_ms = updated, accessed_at_ms = accessed,
    id = id, tenant = tenant }, k.id, k.tenant)
  if damaged then
    return nil, redis.error_reply('CORRUPT ' .. damaged)
  end
  return core
end

-- Returns the core of the record, or nil where there is none, or nil and an error reply where it is damaged.
local function load_core(k)
  local raw = redis.pcall('HMGET', k.session, 'status', 'version', 'created_at_ms', 'expires_at_ms', 'ttl_ms',
    'max_lifetime_ms', 'kind', '_logs', '_indexes', 'updated_at_ms', 'accessed_at_ms', 'id', 'tenant', 'owner',
    'client_type')
  if raw.err then
    return nil, redis.error_reply('CORRUPT session')
  end
  if not raw[1] and redis.call('EXISTS', k.session) == 0 then
    return nil
  end
  return core_of(k, unpack(raw, 1, 15))
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

-- The core of a session that may still be written to, or nil and the error reply that says why not. `load`: load_whole
-- for the whole record.
local function load_live(k, now, kinds, load)
  local core, damage = (load or load_core)(k)
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
