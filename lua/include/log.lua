-- @include include/clock
-- @include include/integer
-- @include include/record
-- A log is a list beside the record. Positions count from the session's very first entry on; `_first:<log>` is that of
-- the list's first one. A bounded log (`_keep:<log>`) loses its oldest entries: beyond the newest `keep` those that the
-- archive has, beyond the hard bound any. `_dropped:<log>` counts those that the archive was not known to have.
local PUSHED_AT_ONCE = 500

local function log_fields(name)
  return { '_first:' .. name, '_archived:' .. name, '_dropped:' .. name, '_keep:' .. name }
end

-- The same from the texts of its fields, which follow `at` in `texts`.
local function log_of(k, name, texts, at)
  local key = k.log .. name
  local length = redis.pcall('LLEN', key)
  if type(length) == 'table' then
    return nil, redis.error_reply('CORRUPT ' .. name)
  end
  local first, dropped = integer(texts[at + 1] or '0'), integer(texts[at + 3] or '0')
  if not first or first < 0 or not dropped then
    return nil, redis.error_reply('CORRUPT ' .. (dropped and '_first:' or '_dropped:') .. name)
  end
  return { name = name, key = key, first = first, archived = positive(texts[at + 2]) or 0, dropped = dropped,
    keep = positive(texts[at + 4]), freed = 0, length = length }
end

local function load_log(k, name)
  return log_of(k, name, redis.call('HMGET', k.session, unpack(log_fields(name))), 0)
end

-- How many entries there ever were; 0, or the error reply of a damaged log.
local function entries_ever(k, name)
  local log, damage = load_log(k, name)
  return damage or log.first + log.length
end

-- The bytes of a log's first entries, where the session's bytes are counted.
local function freed_by(k, key, count)
  -- @include include/place
  -- @include include/size
  return place_of(k) and bytes_of_list(key, count) or 0
end

-- Appends entries, and cuts a bounded log. The fields to be written go into `write`, which the caller writes next.
-- The first write here may grow memory, so that a full server refuses the script as a whole.
-- keep: '' for what the record says; bound: count.
local function push(k, core, log, entries, keep, bound, grace, write)
  local is_new = log.length == 0
  for i = 1, #entries, PUSHED_AT_ONCE do
    log.length = redis.call('RPUSH', log.key, unpack(entries, i, math.min(i + PUSHED_AT_ONCE - 1, #entries)))
  end
  local function field(name, value)
    write[#write + 1] = name
    write[#write + 1] = value
  end
  if not string.find(',' .. core.logs .. ',', ',' .. log.name .. ',', 1, true) then
    core.logs = core.logs == '' and log.name or core.logs .. ',' .. log.name
    field('_logs', core.logs)
  end
  if is_new and core.expires then
    redis.call('PEXPIREAT', log.key, text(core.expires + grace))
  end
  if keep ~= '' and tonumber(keep) ~= log.keep then
    log.keep = tonumber(keep)
    field('_keep:' .. log.name, keep)
  end
  log.total = log.first + log.length
  local cut = log.keep and math.max(math.min(log.total - log.keep, log.archived), log.total - bound) or 0
  if cut > log.first then
    log.freed = freed_by(k, log.key, cut - log.first)
    redis.call('LTRIM', log.key, text(cut - log.first), -1)
    local dropped = cut - math.max(log.archived, log.first)
    if dropped > 0 then
      field('_dropped:' .. log.name, text(log.dropped + dropped))
    end
    field('_first:' .. log.name, text(cut))
  end
end

-- The error reply that refuses more entries of a log that is not bounded, else nil.
local function full_error(log, added, keep, bound)
  if keep == '' and not log.keep and log.length + added > bound then
    return redis.error_reply(string.format('FULL %d %d', log.length, bound))
  end
  return nil
end
