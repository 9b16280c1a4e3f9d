-- @include include/elements
-- Index entries are session ids scored by creation time. `spec` names a field; with "[]" behind it, the field holds
-- a JSON array of strings and there is one entry per element.
local function index_values(spec, value)
  if string.sub(spec, -1) == ']' then
    return elements_of(value)
  end
  return value and value ~= '' and { value } or {}
end

local function index_key(k, spec, value)
  return k.index .. string.gsub(spec, '%[%]$', '') .. ':' .. value
end

local function status_index(k, kind, status)
  return k.index .. 'status:' .. kind .. ':' .. status
end

local function index_add(k, spec, value, created)
  for _, each in ipairs(index_values(spec, value)) do
    redis.call('ZADD', index_key(k, spec, each), created, k.id)
  end
end

local function index_remove(k, spec, value)
  for _, each in ipairs(index_values(spec, value)) do
    redis.call('ZREM', index_key(k, spec, each), k.id)
  end
end
