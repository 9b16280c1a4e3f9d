-- @include include/examine
local TOKENS_LOOKED_AT = 20

-- Access and refresh tokens that are listed, and not known or not their family's; and those known, but not listed.
local function examine_tokens(found, k, now)
  if listing_error(k) then
    found.words.odd = true
    return
  end
  local listed = redis.call('ZRANGEBYSCORE', k.tokens, text(now + SLACK_MS), '+inf', 'LIMIT', 0, TOKENS_LOOKED_AT)
  local page = redis.call('HSCAN', k.token, 0, 'COUNT', TOKENS_LOOKED_AT)
  local function is_in_force(hash, token)
    local f = token and token.over > now and family_of(k, token.family)
    return f and (f.access == hash or f.refresh == hash)
  end
  local function drop(hash)
    tell(found, 'token', function()
      redis.call('HDEL', k.token, hash)
      redis.call('ZREM', k.tokens, hash)
    end)
  end
  for _, hash in ipairs(listed) do
    if not is_in_force(hash, token_of(k, hash)) then
      drop(hash)
    end
  end
  for i = 1, #page[2], 2 do
    local hash, token = page[2][i], token_of(k, page[2][i])
    if token and token.kind ~= 'used' and token.over > now + SLACK_MS and not score(found, k.tokens, hash) then
      drop(hash)
    end
  end
end
