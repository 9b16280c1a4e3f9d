-- Notes that a sweep of a partition failed.
-- KEYS[1]  sweeps     hash    how sweeps of the partition went
-- ARGV[1]  what       string  'failures'
-- Returns  1
-- Errors   none
-- @include include/sweeps
local sweeps = KEYS[1]
local what = ARGV[1]

note_sweep(sweeps, now_ms(), what)
return 1
