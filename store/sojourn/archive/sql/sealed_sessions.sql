-- Of the next %(looked_at)s sessions, of one tenant or of all: those with something in them that looks sealed, and the last
-- one, by which one goes on. Also how many there were to look at. So a statement's time is bounded.
WITH page AS (
    SELECT tenant, id, kind, data, row_number() OVER (ORDER BY tenant, id) AS number
    FROM (
        SELECT *
        FROM sojourn.sessions
        WHERE (tenant, id) > (%(after_tenant)s, %(after_id)s::uuid)
            AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
        ORDER BY tenant, id
        LIMIT %(looked_at)s
    ) AS next
), looked AS (
    SELECT *, max(number) OVER () AS total, data::text LIKE '%%sealed:%%' AS is_sealed
    FROM page
)
SELECT total, number = total AS is_last, is_sealed, tenant, id, kind,
    data::text
FROM looked
WHERE is_sealed OR number = total
ORDER BY number
