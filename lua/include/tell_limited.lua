-- @include include/clock
-- @include include/event
-- Tells the outbox what a limit refuses, but not more than once a minute.
local TOLD_MS = 60000

local function tell_limited(k, now, limit, told)
  local first = redis.pcall('SET', k.own .. 'told:' .. limit, '', 'NX', 'PX', TOLD_MS)
  if first and first.ok then
    emit({ tenant = k.tenant, id = '', events = k.events }, 'limited', '', '0', now, 'sojourn', '',
      string.format('{"limit":"%s",%s}', limit, told), '')
  end
end
