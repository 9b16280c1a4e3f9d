SELECT kind, status, count(*)
FROM sojourn.sessions
WHERE tenant = %(tenant)s
GROUP BY kind, status
ORDER BY kind, status
