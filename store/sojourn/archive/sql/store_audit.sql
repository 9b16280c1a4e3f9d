-- Rows of the audit trail.
INSERT INTO sojourn.audit (
    tenant, seq, at, recorded_at, actor, action, session_id, trace_id, event_id, detail, previous, hash
)
SELECT tenant, seq, at, recorded_at, actor, action, about, trace_id, event_id, detail, previous, hash
FROM pg_temp.sojourn_rows
WHERE target = 4
