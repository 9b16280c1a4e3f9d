-- A record's hash, field by field: text as it is, embedded JSON as its text in an array.
SELECT (
    SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'string' THEN value ELSE jsonb_build_array(value::text) END)
    FROM jsonb_each(data)
) AS stored
FROM sojourn.sessions
WHERE tenant = %(tenant)s AND id = %(id)s
