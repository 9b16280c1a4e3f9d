-- A page of a tenant's sessions that changed at a moment or later.
SELECT tenant, id,
-- @include record_texts
FROM sojourn.sessions
WHERE tenant = %(tenant)s AND updated_at >= %(since)s AND id > %(after_id)s::uuid
ORDER BY id
LIMIT %(limit)s
