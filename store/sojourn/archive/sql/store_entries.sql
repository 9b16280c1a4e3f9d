-- rows: a JSON array of log entries. An entry never changes in Redis, so a different one at the same place means that
-- Redis was restored from an older copy and went on from there; what was acknowledged last is kept.
INSERT INTO sojourn.session_entries AS held (tenant, session_id, log, position, entry)
SELECT tenant, session_id, log, position, entry
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new (
    tenant text, session_id uuid, log text, position integer, entry jsonb
)
ORDER BY tenant, session_id, log, position
ON CONFLICT (tenant, session_id, log, position) DO UPDATE SET
    entry = excluded.entry,
    archived_at = now()
WHERE held.entry IS DISTINCT FROM excluded.entry
