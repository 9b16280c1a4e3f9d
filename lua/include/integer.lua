-- @include include/exact
-- Texts as whole numbers, as far as these are exact.

-- Text as an integer, or nil: tonumber alone would take '0x10', '1e999' and 'nan' as well, and a later write fail.
local function integer(value)
  local number = value and string.find(value, '^%-?%d+$') and tonumber(value)
  return number and math.abs(number) <= EXACT and number or nil
end

local function positive(value)
  local number = integer(value)
  return number and number > 0 and number or nil
end
