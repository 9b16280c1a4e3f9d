FROM sojourn.sessions
WHERE tenant = %(tenant)s
    AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
    AND (%(owner)s::text IS NULL OR owner = %(owner)s)
    AND (%(client_type)s::text IS NULL OR client_type = %(client_type)s)
    AND (%(indexed)s::text[] IS NULL OR indexed @> %(indexed)s)
    AND created_at >= %(oldest)s
    AND created_at <= %(newest)s
