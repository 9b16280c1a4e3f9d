-- A page, newest first, and one more row that tells whether there is another. A filter that is NULL filters nothing.
SELECT id, created_at,
-- @include record_texts
-- @include matching_sessions
    AND (%(after_id)s::uuid IS NULL OR (created_at, id) < (%(newest)s, %(after_id)s::uuid))
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
