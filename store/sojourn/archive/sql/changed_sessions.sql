-- Of the next %(looked_at)s sessions of a tenant, those that were archived at a moment or later, and the last of them, by
-- which one goes on. So a statement's time is bounded, without an index that each archive run would pay for.
WITH page AS (
    SELECT tenant, id, archived_at, data
    FROM sojourn.sessions
    WHERE tenant = %(tenant)s AND id > %(after_id)s::uuid
    ORDER BY id
    LIMIT %(looked_at)s
)
SELECT tenant, id,
-- @include record_texts
FROM page
WHERE archived_at >= %(since)s OR id = (SELECT id FROM page ORDER BY id DESC LIMIT 1)
ORDER BY id
