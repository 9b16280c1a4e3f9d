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
ON CONFLICT (tenant, id) DO UPDATE SET
    kind = excluded.kind,
    status = excluded.status,
    version = excluded.version,
    owner = excluded.owner,
    client_type = excluded.client_type,
    tags = excluded.tags,
    indexed = excluded.indexed,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    accessed_at = excluded.accessed_at,
    expires_at = excluded.expires_at,
    ttl = excluded.ttl,
    max_lifetime = excluded.max_lifetime,
    ended_at = excluded.ended_at,
    end_reason = excluded.end_reason,
    data = excluded.data,
    archived_at = now()
WHERE (held.updated_at, held.version) < (excluded.updated_at, excluded.version)
RETURNING tenant, id
