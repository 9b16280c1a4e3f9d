-- keys: a JSON array of {tenant, id}. Keep the held states of those sessions, whatever takes their place.
INSERT INTO sojourn.session_snapshots (tenant, session_id, version, updated_at, data)
SELECT held.tenant, held.id, held.version, held.updated_at, held.data
FROM jsonb_to_recordset(%(keys)s::jsonb) AS wanted (tenant text, id uuid)
JOIN sojourn.sessions AS held USING (tenant, id)
ON CONFLICT DO NOTHING
