-- Up to here Lua, and most JSON readers, have whole numbers exactly.
local EXACT = 9007199254740991 -- 2^53 - 1
