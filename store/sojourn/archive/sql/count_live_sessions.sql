SELECT count(*) FROM sojourn.sessions WHERE ended_at IS NULL AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
