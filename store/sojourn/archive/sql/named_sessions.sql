-- keys: a JSON array of {tenant, id}.
SELECT held.tenant, held.id,
-- @include record_texts
FROM jsonb_to_recordset(%(keys)s::jsonb) AS wanted (tenant text, id uuid)
JOIN sojourn.sessions AS held USING (tenant, id)
