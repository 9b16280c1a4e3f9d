-- Every status and kind of which ended sessions are archived: one step down the index each, however many there are.
WITH RECURSIVE found AS (
    (SELECT status, kind FROM sojourn.sessions WHERE ended_at IS NOT NULL ORDER BY status, kind LIMIT 1)
    UNION ALL
    SELECT following.status, following.kind
    FROM found, LATERAL (
        SELECT status, kind
        FROM sojourn.sessions
        WHERE ended_at IS NOT NULL AND (status, kind) > (found.status, found.kind)
        ORDER BY status, kind
        LIMIT 1
    ) AS following
)
SELECT status, kind FROM found
