-- The ids between two bounds, from the primary key.
SELECT id
FROM sojourn.sessions
WHERE tenant = %(tenant)s AND id BETWEEN %(first)s::uuid AND %(last)s::uuid
ORDER BY id
LIMIT %(limit)s
