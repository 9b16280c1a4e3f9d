-- @include include/integer
-- @include include/statuses
-- The first field of a record, as texts by name, that no record of ours can have so; nil if it is sound.
local function damage_in(texts, id, tenant)
  return (not (LIVE[texts.status] or ENDED[texts.status]) and 'status') or (not positive(texts.version) and 'version')
    or (not positive(texts.created_at_ms) and 'created_at_ms')
    or (texts.expires_at_ms and not integer(texts.expires_at_ms) and 'expires_at_ms')
    or (texts.ttl_ms and not positive(texts.ttl_ms) and 'ttl_ms')
    or (texts.max_lifetime_ms and not positive(texts.max_lifetime_ms) and 'max_lifetime_ms')
    or (not (texts.kind and string.find(texts.kind, '^[a-z][a-z0-9_]*$')) and 'kind')
    or (not positive(texts.updated_at_ms) and 'updated_at_ms')
    or (not positive(texts.accessed_at_ms) and 'accessed_at_ms')
    or (texts.id ~= id and 'id') or (texts.tenant ~= tenant and 'tenant') or nil
end
