-- A row that is not newer than the one held changes nothing.
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
    archived_at = excluded.archived_at
WHERE (held.updated_at, held.version) < (excluded.updated_at, excluded.version)
