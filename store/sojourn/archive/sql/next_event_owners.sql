-- Up to `limit` sessions that have events, after a place and not after another, and whether each is missing from the
-- archive: one step down the index each, however many events it has.
WITH RECURSIVE found AS (
    (
        SELECT tenant, session_id, 1 AS number
        FROM sojourn.session_events
        WHERE (tenant, session_id) > (%(tenant)s, %(session_id)s)
            AND (%(last_tenant)s::text IS NULL OR (tenant, session_id) <= (%(last_tenant)s, %(last_session_id)s::uuid))
        ORDER BY tenant, session_id
        LIMIT 1
    )
    UNION ALL
    SELECT following.tenant, following.session_id, found.number + 1
    FROM found, LATERAL (
        SELECT tenant, session_id
        FROM sojourn.session_events
        WHERE (tenant, session_id) > (found.tenant, found.session_id)
            AND (%(last_tenant)s::text IS NULL OR (tenant, session_id) <= (%(last_tenant)s, %(last_session_id)s::uuid))
        ORDER BY tenant, session_id
        LIMIT 1
    ) AS following
    WHERE found.number < %(limit)s
)
SELECT tenant, session_id, NOT EXISTS (
    SELECT FROM sojourn.sessions WHERE sessions.tenant = found.tenant AND sessions.id = found.session_id
) AS missing
FROM found
ORDER BY tenant, session_id
