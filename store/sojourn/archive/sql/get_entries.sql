-- A stretch of a log, in order: text as it is, embedded JSON as its text in an array. A session without such entries
-- gives one row with nothing in it, an unknown session none.
SELECT CASE
    WHEN jsonb_typeof(entry) = 'string' THEN entry
    WHEN entry IS NOT NULL THEN jsonb_build_array(entry::text)
END AS entry
FROM sojourn.sessions
LEFT JOIN sojourn.session_entries AS held
    ON held.tenant = sessions.tenant AND held.session_id = sessions.id AND held.log = %(log)s
        AND held.position >= %(start)s AND (%(stop)s::integer IS NULL OR held.position < %(stop)s)
WHERE sessions.tenant = %(tenant)s AND sessions.id = %(id)s
ORDER BY position
