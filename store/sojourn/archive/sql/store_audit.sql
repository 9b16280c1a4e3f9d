-- rows: a JSON array of rows of the audit trail, hashes in hexadecimal.
INSERT INTO sojourn.audit (
    tenant, seq, at, recorded_at, actor, action, session_id, trace_id, event_id, detail, previous, hash
)
SELECT
    tenant, seq, at, recorded_at, actor, action, session_id, trace_id, event_id, detail,
    decode(previous, 'hex'), decode(hash, 'hex')
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new (
    tenant text, seq bigint, at timestamptz, recorded_at timestamptz, actor text, action text, session_id text,
    trace_id text, event_id text, detail text, previous text, hash text
)
