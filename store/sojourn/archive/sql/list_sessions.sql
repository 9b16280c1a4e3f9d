-- A page, newest first, and one more row that tells whether there is another. A filter that is NULL filters nothing.
SELECT id, created_at, (
    SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'string' THEN value ELSE jsonb_build_array(value::text) END)
    FROM jsonb_each(data)
) AS stored
FROM sojourn.sessions
WHERE tenant = %(tenant)s
    AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
    AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
    AND (%(owner)s::text IS NULL OR owner = %(owner)s)
    AND (%(client_type)s::text IS NULL OR client_type = %(client_type)s)
    AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s])
    AND created_at >= %(oldest)s
    AND created_at <= %(newest)s
    AND (%(after_id)s::uuid IS NULL OR (created_at, id) < (%(newest)s, %(after_id)s::uuid))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
