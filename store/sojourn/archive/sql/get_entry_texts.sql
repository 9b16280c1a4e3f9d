-- Entries of a log, in order: text as it is, embedded JSON as its text in an array.
SELECT CASE jsonb_typeof(entry) WHEN 'string' THEN entry ELSE jsonb_build_array(entry::text) END AS entry
FROM sojourn.session_entries
WHERE tenant = %(tenant)s AND session_id = %(id)s AND log = %(log)s AND position >= %(start)s
ORDER BY position
LIMIT %(count)s
