-- rows: a JSON array of snapshots as they were read and as they become. One that has changed since is left.
-- Rows are locked in the order in which an archive run writes them.
WITH moved AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (
        tenant text, id uuid, version bigint, updated_at timestamptz, old_0 jsonb, new_0 jsonb
    )
), locked AS MATERIALIZED (
    SELECT 1
    FROM sojourn.session_snapshots AS held JOIN moved
        ON (held.tenant, held.session_id, held.version, held.updated_at)
            = (moved.tenant, moved.id, moved.version, moved.updated_at)
    ORDER BY held.tenant, held.session_id, held.version, held.updated_at
    FOR UPDATE OF held
)
UPDATE sojourn.session_snapshots AS held
SET data = moved.new_0
FROM moved
WHERE (SELECT count(*) FROM locked) > 0
    AND (held.tenant, held.session_id, held.version, held.updated_at)
        = (moved.tenant, moved.id, moved.version, moved.updated_at)
    AND held.data = moved.old_0
