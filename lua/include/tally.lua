-- @include include/clock
-- Counts of a tenant's sessions, kept where the thing happens. They are in one hash whose fields end in a label,
-- "<kind>|<client type>". Clients choose both, so there are only so many: what comes later is counted under
-- "<kind>|other", and at last under "other|other". A label stays what it is, since none is ever removed:
-- `label|<label>` says that there is one, `labels` how many. Fields by what they count:
--   created|<label>: sessions; ended|<status>|<bucket>|<label>: ends by duration; took_ms|<label>: the sum of these
--   shift|<label>: live sessions that came (restored, of another client type now) less those that went without an end
--   claimed|<by>|<bucket>, lag_ms: expiries by their lag; lost, damaged: records
-- Nothing here may fail a write: other hands can make the hash anything. These are always the last writes.
local LABELS, KINDS, LONGEST, OTHER = 64, 32, 64, 'other'
local TOOK_MS, TOOK_BUCKETS = 60000, 10
local LAG_MS, LAG_BUCKETS = 10, 15

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

local function has_label(k, label, most)
  if redis.pcall('HEXISTS', k.stats, 'label|' .. label) == 1 then
    return true
  end
  if (tonumber(redis.pcall('HGET', k.stats, 'labels') or '') or 0) >= most then
    return false
  end
  redis.pcall('HSET', k.stats, 'label|' .. label, 1)
  redis.pcall('HINCRBY', k.stats, 'labels', 1)
  return true
end

-- Adds to a count of what has that kind and client type; under which label is the result. Most labels are known, so
-- only the first to be counted in a field asks.
local function tally(k, what, kind, client_type, number)
  local label = kind .. '|' .. (#client_type > LONGEST and OTHER or client_type)
  if redis.pcall('HINCRBY', k.stats, what .. label, number) ~= number or has_label(k, label, LABELS) then
    return label
  end
  redis.pcall('HDEL', k.stats, what .. label)
  label = kind .. '|' .. OTHER
  if not has_label(k, label, LABELS + KINDS) then
    label = OTHER .. '|' .. OTHER
    has_label(k, label, math.huge)
  end
  redis.pcall('HINCRBY', k.stats, what .. label, number)
  return label
end

-- Ends and claims are added up in a book, which is written after the last of a run: a sweep counts those that are alike
-- in one command.
local function entry_of(book, k, what, label)
  local key = k.stats .. '|' .. what .. label
  local entry = book[key]
  if not entry then
    entry = { k = k, what = what, number = 0, sum = 0 }
    book[key] = entry
  end
  entry.number = entry.number + 1
  return entry
end

local function book_end(book, k, status, core, at)
  local took = math.max(at - core.created, 0)
  local what = 'ended|' .. status .. '|' .. bucket_of(took, TOOK_MS, TOOK_BUCKETS) .. '|'
  local entry = entry_of(book, k, what, core.kind .. '|' .. core.client_type)
  entry.kind, entry.client_type, entry.sum = core.kind, core.client_type, entry.sum + took
end

local function book_claim(book, k, by, lag)
  local entry = entry_of(book, k, 'claimed|' .. by .. '|' .. bucket_of(lag, LAG_MS, LAG_BUCKETS), '')
  entry.sum = entry.sum + lag
end

local function write_book(book)
  for _, entry in pairs(book) do
    local k, sum = entry.k, 'lag_ms'
    if entry.kind then
      sum = 'took_ms|' .. tally(k, entry.what, entry.kind, entry.client_type, entry.number)
    else
      redis.pcall('HINCRBY', k.stats, entry.what, entry.number)
    end
    redis.pcall('HINCRBY', k.stats, sum, text(entry.sum))
  end
end
