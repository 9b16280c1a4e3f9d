-- Each tenant once, hopping from one to the next on an index rather than reading every session.
WITH RECURSIVE hop AS (
    (SELECT tenant FROM sojourn.sessions ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM sojourn.sessions WHERE tenant > hop.tenant ORDER BY tenant LIMIT 1)
    FROM hop
    WHERE hop.tenant IS NOT NULL
)
SELECT tenant FROM hop WHERE tenant IS NOT NULL
