-- Up to where the beginning of a chain, of `limit` rows at most, may go: to before the first row that is to be kept. What
-- retention told of itself does not go alone, since telling of that would take its place.
WITH oldest AS (
    SELECT seq, recorded_at, action <> 'audit.prune' AS counts
    FROM sojourn.audit
    WHERE tenant = %(tenant)s
    ORDER BY seq
    LIMIT %(limit)s
)
SELECT max(seq)
FROM oldest
WHERE seq < coalesce((SELECT min(seq) FROM oldest WHERE recorded_at >= now() - %(keep)s), 9223372036854775807)
HAVING bool_or(counts)
