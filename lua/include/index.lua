-- Index entries are session ids scored by creation time. `spec` names a field; with "[]" behind it, the field holds
-- a JSON array of strings and there is one entry per element.
local BRACKET = 93 -- "]"

local function is_array(spec)
  return string.byte(spec, -1) == BRACKET
end

local function indexed_field(spec)
  return is_array(spec) and string.sub(spec, 1, -3) or spec
end

local function index_values(spec, value)
  if not value or value == '' then
    return {}
  end
  if not is_array(spec) then
    return { value }
  end
  local ok, values = pcall(cjson.decode, value)
  if not ok or type(values) ~= 'table' then
    return {}
  end
  local strings = {}
  for _, each in ipairs(values) do
    if type(each) == 'string' then
      strings[#strings + 1] = each
    end
  end
  return strings
end

local function index_key(k, spec, value)
  return k.index .. indexed_field(spec) .. ':' .. value
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

-- Puts a record into all indexes that it belongs to; `values` holds its texts by field.
local function enlist(k, kind, status, indexes, values, created)
  redis.call('SADD', k.kinds, kind)
  redis.call('ZADD', status_index(k, kind, status), created, k.id)
  for spec in string.gmatch(indexes, '[^,]+') do
    index_add(k, spec, values[indexed_field(spec)], created)
  end
end
