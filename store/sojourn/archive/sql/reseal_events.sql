-- rows: a JSON array of events as they were read and as they become. One that has changed since is left.
-- Rows are locked in the order in which an archive run writes them.
WITH moved AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (
        tenant text, id uuid, event_id text, old_0 jsonb, new_0 jsonb, old_1 jsonb, new_1 jsonb
    )
), locked AS MATERIALIZED (
    SELECT 1
    FROM sojourn.session_events AS held JOIN moved
        ON (held.tenant, held.session_id, held.id) = (moved.tenant, moved.id, moved.event_id)
    ORDER BY held.tenant, held.session_id, held.id
    FOR UPDATE OF held
)
UPDATE sojourn.session_events AS held
SET changes = moved.new_0, before = moved.new_1
FROM moved
WHERE (SELECT count(*) FROM locked) > 0
    AND (held.tenant, held.session_id, held.id) = (moved.tenant, moved.id, moved.event_id)
    AND held.changes = moved.old_0
    AND held.before IS NOT DISTINCT FROM moved.old_1
