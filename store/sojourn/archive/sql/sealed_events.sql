-- Of the next %(looked_at)s events, of one tenant or of all: those with something in them that looks sealed, and the last
-- one, by which one goes on. Also how many there were to look at. So a statement's time is bounded.
WITH page AS (
    SELECT tenant, session_id, id, kind, changes, before,
        row_number() OVER (ORDER BY tenant, session_id, id) AS number
    FROM (
        SELECT *
        FROM sojourn.session_events
        WHERE (tenant, session_id, id) > (%(after_tenant)s, %(after_id)s::uuid, %(after_event_id)s)
            AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
        ORDER BY tenant, session_id, id
        LIMIT %(looked_at)s
    ) AS next
), looked AS (
    SELECT *, max(number) OVER () AS total,
        changes::text LIKE '%%sealed:%%' OR coalesce(before::text, '') LIKE '%%sealed:%%' AS is_sealed
    FROM page
)
SELECT total, number = total AS is_last, is_sealed, tenant, session_id, id, kind,
    changes::text, before::text
FROM looked
WHERE is_sealed OR number = total
ORDER BY number
