-- rows: an array of session rows as JSON; texts: whether their jsonb is given as text. The newer of two states is kept;
-- one that a newer state of a lower version takes the place of becomes a snapshot, as in an archive run.
WITH new AS MATERIALIZED (
    SELECT DISTINCT ON (tenant, id)
        tenant, id, kind, status, version, owner, client_type, tags, indexed, created_at, updated_at, accessed_at,
        expires_at, ttl, max_lifetime, ended_at, end_reason,
        CASE WHEN %(texts)s THEN (given->>'data')::jsonb ELSE given->'data' END AS data,
        archived_at
    FROM unnest(%(rows)s::jsonb[]) AS given,
        jsonb_to_record(given) AS read (
            tenant text, id uuid, kind text, status text, version bigint, owner text, client_type text, tags text[],
            indexed text[], created_at timestamptz, updated_at timestamptz, accessed_at timestamptz,
            expires_at timestamptz, ttl interval, max_lifetime interval, ended_at timestamptz, end_reason text,
            archived_at timestamptz
        )
    ORDER BY tenant, id, updated_at DESC, version DESC
), kept AS (
    INSERT INTO sojourn.session_snapshots (tenant, session_id, version, updated_at, data)
    SELECT held.tenant, held.id, held.version, held.updated_at, held.data
    FROM new JOIN sojourn.sessions AS held USING (tenant, id)
    WHERE (held.updated_at, held.version) < (new.updated_at, new.version) AND held.version >= new.version
    ON CONFLICT DO NOTHING
)
INSERT INTO sojourn.sessions AS held (
    tenant, id, kind, status, version, owner, client_type, tags, indexed, created_at, updated_at, accessed_at,
    expires_at, ttl, max_lifetime, ended_at, end_reason, data, archived_at
)
SELECT
    tenant, id, kind, status, version, owner, client_type, tags, indexed, created_at, updated_at, accessed_at,
    expires_at, ttl, max_lifetime, ended_at, end_reason, data, archived_at
FROM new
ORDER BY tenant, id
-- @include unless_newer
