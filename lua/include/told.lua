-- A JSON object from texts by name; false stands for no text. '' where there is nothing to tell.
local function told(texts)
  if next(texts) == nil then
    return ''
  end
  for name, value in pairs(texts) do
    texts[name] = value or cjson.null
  end
  return cjson.encode(texts)
end
