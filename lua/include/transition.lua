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
