-- keys: a JSON array of {tenant, id}. What the archive holds of those sessions.
SELECT held.tenant, held.id, held.updated_at, held.version, held.ended_at IS NOT NULL AS ended
FROM jsonb_to_recordset(%(keys)s::jsonb) AS wanted (tenant text, id uuid)
JOIN sojourn.sessions AS held USING (tenant, id)
