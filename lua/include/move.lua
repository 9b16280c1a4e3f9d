-- From one value's index entries to another's: see index.lua.
local function index_move(k, spec, old, new, created)
  if string.sub(spec, -1) ~= ']' then
    if old and old ~= '' then
      redis.call('ZREM', k.index .. spec .. ':' .. old, k.id)
    end
    if new and new ~= '' then
      redis.call('ZADD', k.index .. spec .. ':' .. new, created, k.id)
    end
    return
  end
  -- @include include/index
  local comes, values = {}, index_values(spec, new)
  for _, each in ipairs(values) do
    comes[each] = true
  end
  for _, each in ipairs(index_values(spec, old)) do
    if comes[each] == nil then
      redis.call('ZREM', index_key(k, spec, each), k.id)
    else
      comes[each] = false -- it stays
    end
  end
  for _, each in ipairs(values) do
    if comes[each] then
      redis.call('ZADD', index_key(k, spec, each), created, k.id)
    end
  end
end

-- The spec of a field, or nil where it is not indexed.
local function spec_of(indexes, name)
  if not string.find(indexes, name, 1, true) then
    return nil -- as most are not
  end
  local listed = ',' .. indexes .. ','
  return string.find(listed, ',' .. name .. ',', 1, true) and name
    or string.find(listed, ',' .. name .. '[],', 1, true) and name .. '[]' or nil
end
