-- keys: a JSON array of {tenant, event_id}. What the audit trail tells of these events. Nearly always that is nothing, and
-- one look at the stretch of ids in which they lie says so; only where there is something is each looked up.
WITH wanted AS MATERIALIZED (
    SELECT tenant, event_id FROM jsonb_to_recordset(%(keys)s::jsonb) AS wanted (tenant text, event_id text)
), stretches AS MATERIALIZED (
    SELECT tenant, min(event_id) AS first, max(event_id) AS last FROM wanted GROUP BY tenant
)
SELECT held.tenant, held.at, held.actor, held.action, held.session_id, held.trace_id, held.event_id, held.detail
FROM wanted JOIN sojourn.audit AS held USING (tenant, event_id)
WHERE EXISTS (
    SELECT
    FROM stretches, LATERAL (
        SELECT FROM sojourn.audit AS near
        WHERE near.tenant = stretches.tenant AND near.event_id BETWEEN stretches.first AND stretches.last
        LIMIT 1
    ) AS found
)
