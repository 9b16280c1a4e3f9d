-- keys: a JSON array of {tenant, event_id}. What the audit trail tells of these events.
SELECT held.tenant, held.at, held.actor, held.action, held.session_id, held.trace_id, held.event_id, held.detail
FROM jsonb_to_recordset(%(keys)s::jsonb) AS wanted (tenant text, event_id text)
JOIN sojourn.audit AS held USING (tenant, event_id)
