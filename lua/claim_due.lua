-- The deadline sweep of one partition: claims what is due, oldest first, then removes ended sessions whose time is up.
-- KEYS[1]  deadlines  zset    "<tenant>/<id>" by deadline
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  limit      count   how many to claim, and to remove, at most
-- ARGV[3]  grace      ms
-- ARGV[4]  retention  ms
-- ARGV[5]  archived   0|1     whether the caller knows of an archive
-- ARGV[6]  group      string  the consumer group by which an archive shows
-- Returns  {looked at, expired, lost, removed}; call again while the first or the last equals the limit
-- Errors   none
-- @include include/keys
-- @include include/claim_due
-- @include include/purge
-- @include include/sweeps
local deadlines = KEYS[1]
local prefix, limit = ARGV[1], tonumber(ARGV[2])
local grace, retention, archived = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local group = ARGV[6]

local now = now_ms()
local looked_at, expired, lost = 0, 0, 0
if redis.call('EXISTS', deadlines) == 1 then
  looked_at, expired, lost = claim_due(prefix, now, limit, grace, retention, 'sweep')
end
local removed, is_cut_short = purge_due(prefix, now, limit, grace, archived, group)
if looked_at > 0 or removed > 0 then
  note_sweep(prefix .. '/sweeps', now, 'runs')
end
return { is_cut_short and limit or looked_at, expired, lost, removed }
