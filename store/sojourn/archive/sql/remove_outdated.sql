-- A batch of sessions that ended longer ago than they are kept, with all that belongs to them, those that ended first
-- before others. What another run removes, or the archive run writes at this moment, is passed over.
WITH outdated AS MATERIALIZED (
    SELECT tenant, id
    FROM sojourn.sessions
    WHERE status = %(status)s AND kind = %(kind)s AND ended_at < now() - %(keep)s
    ORDER BY ended_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), entries AS (
    DELETE FROM sojourn.session_entries AS held USING outdated
    WHERE held.tenant = outdated.tenant AND held.session_id = outdated.id
    RETURNING 1
), events AS (
    DELETE FROM sojourn.session_events AS held USING outdated
    WHERE held.tenant = outdated.tenant AND held.session_id = outdated.id
    RETURNING 1
), snapshots AS (
    DELETE FROM sojourn.session_snapshots AS held USING outdated
    WHERE held.tenant = outdated.tenant AND held.session_id = outdated.id
    RETURNING 1
), sessions AS (
    DELETE FROM sojourn.sessions AS held USING outdated
    WHERE held.tenant = outdated.tenant AND held.id = outdated.id
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM sessions), (SELECT count(*) FROM entries), (SELECT count(*) FROM events),
    (SELECT count(*) FROM snapshots)
