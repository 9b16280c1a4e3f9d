-- rows: an array of snapshots as JSON; texts: whether their jsonb is given as text.
INSERT INTO sojourn.session_snapshots (tenant, session_id, version, updated_at, data, archived_at)
SELECT
    tenant, session_id, version, updated_at,
    CASE WHEN %(texts)s THEN (given->>'data')::jsonb ELSE given->'data' END,
    archived_at
FROM unnest(%(rows)s::jsonb[]) AS given,
    jsonb_to_record(given) AS new (
        tenant text, session_id uuid, version bigint, updated_at timestamptz, archived_at timestamptz
    )
ORDER BY tenant, session_id, version, updated_at
ON CONFLICT (tenant, session_id, version, updated_at) DO NOTHING
