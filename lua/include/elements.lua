-- The strings of a JSON array; none where the text is no such array.
local function elements_of(value)
  local ok, values = pcall(cjson.decode, value or '')
  local strings = {}
  for _, each in ipairs(ok and type(values) == 'table' and values or {}) do
    if type(each) == 'string' then
      strings[#strings + 1] = each
    end
  end
  return strings
end
