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
