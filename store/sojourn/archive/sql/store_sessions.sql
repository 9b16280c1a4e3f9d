-- rows: a JSON array of session rows. A row that is not newer than the one held changes nothing and is not returned.
INSERT INTO sojourn.sessions AS held (
    tenant, id, kind, status, version, owner, client_type, tags, indexed, created_at, updated_at,
    accessed_at, expires_at, ttl, max_lifetime, ended_at, end_reason, data
)
SELECT
    tenant, id, kind, status, version, owner, client_type, tags, indexed, created_at, updated_at,
    accessed_at, expires_at, ttl, max_lifetime, ended_at, end_reason, data
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new (
    tenant text, id uuid, kind text, status text, version bigint, owner text, client_type text, tags text[],
    indexed text[], created_at timestamptz, updated_at timestamptz, accessed_at timestamptz, expires_at timestamptz,
    ttl interval, max_lifetime interval, ended_at timestamptz, end_reason text, data jsonb
)
ORDER BY tenant, id
-- @include unless_newer
RETURNING tenant, id, xmax = 0 AS inserted
