-- rows: an array of log entries as JSON; texts: whether their jsonb is given as text. Of two different entries at one
-- place, the one that was archived last is kept, as store_entries does.
INSERT INTO sojourn.session_entries AS held (tenant, session_id, log, position, entry, archived_at)
SELECT DISTINCT ON (tenant, session_id, log, position)
    tenant, session_id, log, position,
    CASE WHEN %(texts)s THEN (given->>'entry')::jsonb ELSE given->'entry' END,
    archived_at
FROM unnest(%(rows)s::jsonb[]) AS given,
    jsonb_to_record(given) AS new (
        tenant text, session_id uuid, log text, position integer, archived_at timestamptz
    )
ORDER BY tenant, session_id, log, position, archived_at DESC
ON CONFLICT (tenant, session_id, log, position) DO UPDATE SET
    entry = excluded.entry,
    archived_at = excluded.archived_at
WHERE held.entry IS DISTINCT FROM excluded.entry AND held.archived_at < excluded.archived_at
