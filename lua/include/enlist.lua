-- Puts a record into all indexes that it belongs to: see index.lua. `values` holds its texts by field.
local function enlist(k, kind, status, indexes, values, created)
  redis.call('SADD', k.kinds, kind)
  redis.call('ZADD', k.index .. 'status:' .. kind .. ':' .. status, created, k.id)
  for spec in string.gmatch(indexes, '[^,]+') do
    local value = values[spec]
    if value and value ~= '' then
      redis.call('ZADD', k.index .. spec .. ':' .. value, created, k.id)
    elseif string.sub(spec, -1) == ']' then
      -- @include include/elements
      local field = string.sub(spec, 1, -3)
      for _, each in ipairs(elements_of(values[field])) do
        redis.call('ZADD', k.index .. field .. ':' .. each, created, k.id)
      end
    end
  end
end
