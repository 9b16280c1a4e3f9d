-- A page of the sessions that were live when they were last archived, of one tenant or of all.
SELECT tenant, id,
-- @include record_texts
FROM sojourn.sessions
WHERE ended_at IS NULL
    AND (tenant, id) > (%(after_tenant)s, %(after_id)s::uuid)
    AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
ORDER BY tenant, id
LIMIT %(limit)s
