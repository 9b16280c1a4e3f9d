-- The next stretch of a tenant's chain, oldest first; times in microseconds since the epoch, NULL for infinity.
SELECT
    seq,
    CASE WHEN isfinite(at) THEN (extract(epoch FROM at) * 1000000)::bigint END,
    CASE WHEN isfinite(recorded_at) THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END,
    actor, action, session_id, trace_id, event_id, detail, previous, hash
FROM sojourn.audit
WHERE tenant = %(tenant)s AND seq > %(after_seq)s
ORDER BY seq
LIMIT %(limit)s
