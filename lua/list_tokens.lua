-- A session's tokens that can be used, by when they are over. No used one outlives all of its family.
-- KEYS[1]  session    hash    the session's record
-- ARGV[1]  prefix     string  the partition's prefix
-- ARGV[2]  tenant     string
-- ARGV[3]  id         string
-- ARGV[4]  kinds      string  comma-separated, those that the caller reads; '' for all
-- Returns  {{family, a|r, over at ms, issued at ms, family issued at ms, bound 0|1, used of the family}, ...}
-- Errors   NOTFOUND, KIND, CORRUPT
-- @include include/keys
-- @include include/record
-- @include include/token
local session = KEYS[1]
local prefix, tenant, id, kinds = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local k = session_keys(prefix, tenant, id)
local core, refusal = load_core(k)
if not core or is_overdue(core, now_ms()) or core.status == 'expired' or core.status == 'deleted' then
  return refusal or core and kind_error(core, kinds) or redis.error_reply('NOTFOUND')
end
refusal = kind_error(core, kinds) or listing_error(k)
if refusal or session ~= k.session then
  return refusal
end

local tokens, used, pair_of = {}, {}, {}
local listed = redis.call('ZRANGEBYSCORE', k.tokens, '(' .. text(now_ms()), '+inf', 'WITHSCORES')
for i = 1, #listed, 2 do
  local family, kind, hash = string.match(listed[i], '^(%w+):(%a):(%w+)$')
  if kind == 'u' then
    used[family] = (used[family] or 0) + 1
  elseif hash then
    local of = pair_of[family] -- both of a pair say the same
    if not of then
      of = redis.pcall('HMGET', k.token .. hash, 'issued_at_ms', 'since_ms', 'print')
      pair_of[family] = positive(of[1]) and positive(of[2]) and of or nil
    end
    if positive(of[1]) and positive(of[2]) then
      tokens[#tokens + 1] = { family, kind, tonumber(listed[i + 1]), positive(of[1]), positive(of[2]),
        of[3] ~= '' and 1 or 0 }
    end
  end
end
for _, each in ipairs(tokens) do
  each[7] = used[each[1]] or 0
end
return tokens
