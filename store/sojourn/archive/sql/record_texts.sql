-- A record, field by field: text as it is, embedded JSON as its text in an array.
(
    SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'string' THEN value ELSE jsonb_build_array(value::text) END)
    FROM jsonb_each(CASE jsonb_typeof(data) WHEN 'object' THEN data END)
) AS stored
