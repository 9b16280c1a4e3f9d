-- The newest events since a moment, newest first. tenant: one, or NULL for all, of which each is looked up on an index.
WITH RECURSIVE hop AS (
    (SELECT tenant FROM sojourn.session_events ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM sojourn.session_events WHERE tenant > hop.tenant ORDER BY tenant LIMIT 1)
    FROM hop
    WHERE hop.tenant IS NOT NULL
)
SELECT
    found.id, type, found.tenant, session_id, kind, version, at, actor, trace_id,
    CASE jsonb_typeof(changes) WHEN 'string' THEN changes ELSE jsonb_build_array(changes::text) END AS changes,
    CASE jsonb_typeof(before) WHEN 'string' THEN before WHEN 'object' THEN jsonb_build_array(before::text) END AS before
FROM hop, LATERAL (
    SELECT * FROM sojourn.session_events AS event
    WHERE event.tenant = hop.tenant AND at >= %(since)s
    ORDER BY at DESC
    LIMIT %(limit)s
) AS found
WHERE hop.tenant = coalesce(%(tenant)s, hop.tenant)
ORDER BY at DESC, split_part(found.id, '-', 2)::numeric DESC, split_part(found.id, '-', 3)::numeric DESC
LIMIT %(limit)s
