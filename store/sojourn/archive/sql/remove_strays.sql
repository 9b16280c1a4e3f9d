-- keys: a JSON array of {tenant, id}. Removes their old events, unless the archive has come to hold the session.
DELETE FROM sojourn.session_events AS held
USING jsonb_to_recordset(%(keys)s::jsonb) AS owner (tenant text, id uuid)
WHERE held.tenant = owner.tenant AND held.session_id = owner.id AND held.at < now() - %(keep)s
    AND NOT EXISTS (SELECT FROM sojourn.sessions WHERE sessions.tenant = owner.tenant AND sessions.id = owner.id)
