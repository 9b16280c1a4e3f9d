-- The states of a session that a newer one with a lower version took the place of, the newest first.
SELECT
-- @include record_texts
FROM sojourn.session_snapshots
WHERE tenant = %(tenant)s AND session_id = %(id)s
ORDER BY updated_at DESC, version DESC
