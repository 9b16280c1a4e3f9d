-- Entries of a log with their positions, in order: text as it is, embedded JSON as its text in an array. `newest`: only of
-- so many positions up to the last one held; NULL for all.
SELECT position, CASE jsonb_typeof(entry) WHEN 'string' THEN entry ELSE jsonb_build_array(entry::text) END AS entry
FROM sojourn.session_entries
WHERE tenant = %(tenant)s AND session_id = %(id)s AND log = %(log)s AND position >= %(start)s
    AND (%(newest)s::integer IS NULL OR position > %(newest)s * -1 + (
        SELECT max(position) FROM sojourn.session_entries
        WHERE tenant = %(tenant)s AND session_id = %(id)s AND log = %(log)s
    ))
ORDER BY position
LIMIT %(count)s
