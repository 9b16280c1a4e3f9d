-- A page, newest first. A filter that is NULL filters nothing.
SELECT seq, at, recorded_at, actor, action, session_id, trace_id, event_id, detail, hash
FROM sojourn.audit
WHERE tenant = %(tenant)s
    AND (%(before_seq)s::bigint IS NULL OR seq < %(before_seq)s)
    AND (%(actions)s::text[] IS NULL OR action = ANY (%(actions)s))
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
    AND (%(trace_id)s::text IS NULL OR trace_id = %(trace_id)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR at <= %(until)s)
ORDER BY seq DESC
LIMIT %(limit)s
