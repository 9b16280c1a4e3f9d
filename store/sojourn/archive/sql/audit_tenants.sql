-- Everybody who has a chain, or the end of one; hopping on the index rather than reading every row.
WITH RECURSIVE hop AS (
    (SELECT tenant FROM sojourn.audit ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM sojourn.audit WHERE tenant > hop.tenant ORDER BY tenant LIMIT 1)
    FROM hop
    WHERE hop.tenant IS NOT NULL
)
SELECT tenant FROM hop WHERE tenant IS NOT NULL
UNION
SELECT tenant FROM sojourn.audit_heads
ORDER BY tenant
