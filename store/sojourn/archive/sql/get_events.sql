-- A session's events in the order in which they happened. An id is <partition>-<ms>-<sequence>.
SELECT
    id, type, tenant, session_id, kind, version, at, actor, trace_id,
    CASE jsonb_typeof(changes) WHEN 'string' THEN changes ELSE jsonb_build_array(changes::text) END AS changes,
    CASE jsonb_typeof(before) WHEN 'string' THEN before WHEN 'object' THEN jsonb_build_array(before::text) END AS before
FROM sojourn.session_events
WHERE tenant = %(tenant)s AND session_id = %(id)s
ORDER BY split_part(id, '-', 2)::numeric, split_part(id, '-', 3)::numeric
