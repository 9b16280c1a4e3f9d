-- rows: a JSON array of records as they were read and as they become. One that has changed since is left.
-- Rows are locked in the order in which an archive run writes them.
WITH moved AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (tenant text, id uuid, old_0 jsonb, new_0 jsonb)
), locked AS MATERIALIZED (
    SELECT 1
    FROM sojourn.sessions AS held JOIN moved ON (held.tenant, held.id) = (moved.tenant, moved.id)
    ORDER BY held.tenant, held.id
    FOR UPDATE OF held
)
UPDATE sojourn.sessions AS held
SET data = moved.new_0
FROM moved
WHERE (SELECT count(*) FROM locked) > 0
    AND (held.tenant, held.id) = (moved.tenant, moved.id)
    AND held.data = moved.old_0
