-- @include include/tally
-- A sweep's ends and claims are added up in a book, which is written after the last: those that are alike are counted
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
  local what, took = place_of_end(status, core, at)
  local entry = entry_of(book, k, what, core.kind .. '|' .. core.client_type)
  entry.kind, entry.client_type, entry.sum = core.kind, core.client_type, entry.sum + took
end

local function book_claim(book, k, by, core, now)
  local lag = now - core.expires
  local entry = entry_of(book, k, place_of_claim(by, lag), '')
  entry.sum = entry.sum + lag
end

local function write_book(book)
  for _, entry in pairs(book) do
    local k, sum = entry.k, 'lag_ms'
    if entry.kind then
      sum = 'took_ms|' .. tally(k, entry.what, entry.kind, entry.client_type, text(entry.number))
    else
      redis.pcall('HINCRBY', k.stats, entry.what, text(entry.number))
    end
    redis.pcall('HINCRBY', k.stats, sum, text(entry.sum))
  end
end
