-- An entry of a log never changes in Redis, so a different one at the same place means that
-- Redis was restored from an older copy and went on from there; what was acknowledged last is kept.
INSERT INTO sojourn.session_entries AS held (tenant, session_id, log, position, entry)
SELECT tenant, session_id, log, position, entry
FROM pg_temp.sojourn_rows
WHERE target = 2
ORDER BY tenant, session_id, log, position
ON CONFLICT (tenant, session_id, log, position) DO UPDATE SET
    entry = excluded.entry,
    archived_at = now()
WHERE held.entry IS DISTINCT FROM excluded.entry
