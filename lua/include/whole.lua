-- @include include/record
-- A whole record, for scripts that answer with it: read in one call at first, and then kept as it is written.
-- `flat` is what HGETALL says, `at` where in it each field's value is.
local function load_whole(k)
  local flat = redis.pcall('HGETALL', k.session)
  if flat.err then
    return nil, redis.error_reply('CORRUPT session')
  end
  if #flat == 0 then
    return nil
  end
  local at = { id = 0, tenant = 0, kind = 0, status = 0, version = 0, created_at_ms = 0, updated_at_ms = 0,
    accessed_at_ms = 0, expires_at_ms = 0, ttl_ms = 0, max_lifetime_ms = 0, owner = 0, client_type = 0, tags = 0,
    metadata = 0, _indexes = 0, _logs = 0 } -- made with room for them, the table need not grow
  for i = 2, #flat, 2 do
    at[flat[i - 1]] = i
  end
  local core, refusal = core_of(k, flat[at.status], flat[at.version], flat[at.created_at_ms], flat[at.expires_at_ms],
    flat[at.ttl_ms], flat[at.max_lifetime_ms], flat[at.kind], flat[at._logs],
    flat[at.updated_at_ms], flat[at.accessed_at_ms], flat[at.id], flat[at.tenant], flat[at.owner],
    flat[at.client_type], flat[at._indexes])
  if core then
    core.flat, core.at = flat, at
  end
  return core, refusal
end

-- The text of a field, or false where it has none.
local function held_text(core, name)
  return core.flat[core.at[name] or 0] or false
end

-- What was written to the hash, name and value in turn.
local function patch(core, fields)
  local flat, at = core.flat, core.at
  for i = 1, #fields, 2 do
    local name = fields[i]
    local place = at[name] or 0
    if place == 0 then
      place = #flat + 2
      flat[place - 1], at[name] = name, place
    end
    flat[place] = fields[i + 1]
  end
end
