-- @include include/clock
-- How sweeps of a partition went: `runs`, `failures`, `last_ms`; and the same for recent windows of WINDOW_MS, of which
-- three are kept, in `<what>:<n>` with the window's number in `window:<n>`. Never fails what it counts.
local WINDOW_MS, WINDOWS = 600000, 3

local function note_sweep(key, now, what)
  redis.pcall('HINCRBY', key, what, 1)
  redis.pcall('HSET', key, 'last_ms', text(now))
  local window = math.floor(now / WINDOW_MS)
  local slot = ':' .. window % WINDOWS
  if redis.pcall('HGET', key, 'window' .. slot) ~= text(window) then
    redis.pcall('HSET', key, 'window' .. slot, text(window), 'runs' .. slot, 0, 'failures' .. slot, 0)
  end
  redis.pcall('HINCRBY', key, what .. slot, 1)
end
