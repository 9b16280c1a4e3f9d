-- @include include/free
-- @include include/remove
-- @include include/event
-- @include include/tally
-- A record that is gone though it was not removed (evicted, or deleted by other hands), or that cannot be read. It is
-- told and counted once; `lost` keeps the session in mind until a worker has combed the rest of the indexes for it. A
-- damaged record cannot be ended, and is left for a person to look at. Returns `outcome`, 'lost' or 'damaged'.
local function lose(k, now, outcome)
  redis.call('ZREM', k.deadlines, k.member)
  redis.call('DEL', k.lease)
  free_place(k)
  drop_tokens(k)
  forget_status(k)
  if outcome == 'lost' then
    forget(k)
  end
  redis.call('SADD', k.lost, k.member)
  redis.call('HINCRBY', k.counts, outcome, 1)
  emit(k, outcome, '', '0', now, 'sojourn', '', '', '')
  redis.pcall('HINCRBY', k.stats, outcome, 1)
  return outcome
end
