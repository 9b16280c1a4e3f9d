-- How many sessions `remove_outdated` would remove.
SELECT count(*)
FROM sojourn.sessions
WHERE status = %(status)s AND kind = %(kind)s AND ended_at < now() - %(keep)s
