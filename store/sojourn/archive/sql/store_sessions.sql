-- A session's row that is not newer than the one held changes nothing and is not returned.
INSERT INTO sojourn.sessions AS held (
    tenant, id, kind, status, version, owner, client_type, tags, indexed, created_at, updated_at,
    accessed_at, expires_at, ttl, max_lifetime, ended_at, end_reason, data
)
SELECT
    tenant, session_id, kind, status, version, owner, client_type, tags, indexed, created_at, updated_at,
    accessed_at, expires_at, ttl, max_lifetime, ended_at, end_reason, data
FROM pg_temp.sojourn_rows
WHERE target = 1
ORDER BY tenant, session_id
-- @include unless_newer
RETURNING tenant, id::text, xmax = 0 AS inserted
