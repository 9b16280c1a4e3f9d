-- rows: an array of events as JSON; texts: whether their jsonb is given as text.
INSERT INTO sojourn.session_events (
    tenant, session_id, id, type, kind, version, at, actor, trace_id, changes, before, archived_at
)
SELECT
    tenant, session_id, id, type, kind, version, at, actor, trace_id,
    CASE WHEN %(texts)s THEN (given->>'changes')::jsonb ELSE given->'changes' END,
    CASE WHEN %(texts)s THEN (given->>'before')::jsonb ELSE NULLIF(given->'before', 'null') END,
    archived_at
FROM unnest(%(rows)s::jsonb[]) AS given,
    jsonb_to_record(given) AS new (
        tenant text, session_id uuid, id text, type text, kind text, version bigint, at timestamptz, actor text,
        trace_id text, archived_at timestamptz
    )
ORDER BY tenant, session_id, id
ON CONFLICT (tenant, session_id, id) DO NOTHING
