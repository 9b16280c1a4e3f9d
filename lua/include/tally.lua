-- @include include/clock
-- Counts of a tenant's sessions, kept where the thing happens. They are in one hash whose fields end in a label,
-- "<kind>|<client type>". Clients choose both, so there are only so many: what comes later is counted under
-- "<kind>|other", and at last under "other|other". A label stays what it is, since none is ever removed:
-- `label|<label>` says that there is one, `labels` how many. Fields by what they count:
--   created|<label>: sessions; ended|<status>|<bucket>|<label>: ends by duration; took_ms|<label>: the sum of these
--   shift|<label>: live sessions that came (restored, of another client type now) less those that went without an end
--   claimed|<by>|<bucket>, lag_ms: expiries by their lag; lost, damaged: records
-- Nothing here may fail a write: other hands can make the hash anything. These are always the last writes.
local LONGEST, OTHER = 64, 'other'

-- Adds to a count of what has that kind and client type; under which label is the result. Most labels are known, so
-- only the first to be counted in a field asks. `number` is a text: a number of Lua's takes Redis half as long again.
local function tally(k, what, kind, client_type, number)
  local label = kind .. '|' .. (#client_type > LONGEST and OTHER or client_type)
  if redis.pcall('HINCRBY', k.stats, what .. label, number) ~= number + 0 then
    return label
  end
  local LABELS, KINDS = 64, 32
  local function has_label(name, most)
    if redis.pcall('HEXISTS', k.stats, 'label|' .. name) == 1 then
      return true
    end
    if (tonumber(redis.pcall('HGET', k.stats, 'labels') or '') or 0) >= most then
      return false
    end
    redis.pcall('HSET', k.stats, 'label|' .. name, 1)
    redis.pcall('HINCRBY', k.stats, 'labels', 1)
    return true
  end
  if has_label(label, LABELS) then
    return label
  end
  redis.pcall('HDEL', k.stats, what .. label)
  label = kind .. '|' .. OTHER
  if not has_label(label, LABELS + KINDS) then
    label = OTHER .. '|' .. OTHER
    has_label(label, math.huge)
  end
  redis.pcall('HINCRBY', k.stats, what .. label, number)
  return label
end

-- Buckets are numbered from 0, each bound is twice the one before; the last one has none.
local function bucket_of(ms, bound, buckets)
  for bucket = 0, buckets - 1 do
    if ms <= bound then
      return bucket
    end
    bound = bound * 2
  end
  return buckets
end

-- Where an end is counted, but for its label, and what it adds to the sum.
local TOOK_MS, TOOK_BUCKETS = 60000, 10

local function place_of_end(status, core, at)
  local took = math.max(at - core.created, 0)
  return 'ended|' .. status .. '|' .. bucket_of(took, TOOK_MS, TOOK_BUCKETS) .. '|', took
end

local function count_end(k, status, core, at)
  local what, took = place_of_end(status, core, at)
  redis.pcall('HINCRBY', k.stats, 'took_ms|' .. tally(k, what, core.kind, core.client_type, '1'), text(took))
end

-- The same of a claim. `by` tells how one came to it: 'notification', 'sweep', 'create' (on the way of a write) or
-- 'call'.
local LAG_MS, LAG_BUCKETS = 10, 15

local function place_of_claim(by, lag)
  return 'claimed|' .. by .. '|' .. bucket_of(lag, LAG_MS, LAG_BUCKETS)
end

local function count_claim(k, by, core, now)
  redis.pcall('HINCRBY', k.stats, place_of_claim(by, now - core.expires), '1')
  redis.pcall('HINCRBY', k.stats, 'lag_ms', text(now - core.expires))
end
