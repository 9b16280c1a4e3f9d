-- keys: a JSON array of {tenant, id}. How many events `remove_strays` would remove.
SELECT count(*)
FROM jsonb_to_recordset(%(keys)s::jsonb) AS owner (tenant text, id uuid)
JOIN sojourn.session_events AS held ON held.tenant = owner.tenant AND held.session_id = owner.id
WHERE held.at < now() - %(keep)s
