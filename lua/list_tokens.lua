-- Some of what is known of a session's tokens; whoever goes on with the cursor until it is 0 has seen all.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  kinds      string  comma-separated, those that the caller reads; '' for all
-- ARGV[5]  cursor     count   0 at the start
-- ARGV[6]  count      count   of tokens and families, about
-- Returns  {cursor, {hash or name, what is known of it, ...}, TIME}
-- Errors   NOTFOUND, KIND, CORRUPT, RATE
-- @include include/keys
-- @include include/record
-- @include include/kind
-- @include include/token
-- @include include/limit
local session = KEYS[1]
local prefix, tenant, id, kinds, cursor, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local k = session_keys(prefix, tenant, id)
local core, refusal = load_core(k)
local limits = cursor == '0' and limits_of(k) -- however many steps it takes, it is one call
if limits then
  -- @include include/pass
  local limited = pass(k, limits, core)
  if limited then
    return limited
  end
end
if not core or is_overdue(core, now_ms()) or core.status == 'expired' or core.status == 'deleted' then
  return refusal or core and kind_error(core, kinds) or redis.error_reply('NOTFOUND')
end
refusal = kind_error(core, kinds) or listing_error(k)
if refusal or session ~= k.session then
  return refusal
end
local page = redis.call('HSCAN', k.token, cursor, 'COUNT', count)
return { page[1], page[2], redis.call('TIME') }
