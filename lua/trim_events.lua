-- Trims a partition's outbox to what every group has acknowledged.
-- KEYS[1]  events     stream  the partition's outbox
-- ARGV[1]  cap        count   events kept where no group reads them
-- ARGV[2...] group    string  groups without which nothing is trimmed
-- Returns  how many were removed
-- Errors   none
-- @include include/trim
local events, cap = KEYS[1], tonumber(ARGV[1])

local awaited = {}
for i = 2, #ARGV do
  awaited[#awaited + 1] = ARGV[i]
end
return trim_events(events, cap, awaited)
