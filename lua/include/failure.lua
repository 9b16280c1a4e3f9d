-- What went wrong with one of several sessions, as the text of an error reply: of one that a command answered inside
-- `pcall`, Redis 6.2 tells where in the script as well.
local function failure_text(failure)
  local told = tostring(type(failure) == 'table' and failure.err or failure)
  told = string.gsub(told, '^@?user_script: ?%d+: ', '')
  return (string.gsub(told, '^%-', ''))
end
