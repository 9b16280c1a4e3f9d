-- rows: a JSON array of events.
INSERT INTO sojourn.session_events (tenant, session_id, id, type, kind, version, at, actor, trace_id, changes, before)
SELECT tenant, session_id, id, type, kind, version, at, actor, trace_id, changes, before
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new (
    tenant text, session_id uuid, id text, type text, kind text, version bigint, at timestamptz, actor text,
    trace_id text, changes jsonb, before jsonb
)
ORDER BY tenant, session_id, id
ON CONFLICT (tenant, session_id, id) DO NOTHING
