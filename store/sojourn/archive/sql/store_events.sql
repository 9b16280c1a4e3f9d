-- Events; those that are there stay as they are.
INSERT INTO sojourn.session_events (tenant, session_id, id, type, kind, version, at, actor, trace_id, changes, before)
SELECT tenant, session_id, id, type, kind, version, at, actor, trace_id, changes, before
FROM pg_temp.sojourn_rows
WHERE target = 3
ORDER BY tenant, session_id, id
ON CONFLICT (tenant, session_id, id) DO NOTHING
