-- A record's hash, field by field: text as it is, embedded JSON as its text in an array.
SELECT
-- @include record_texts
FROM sojourn.sessions
WHERE tenant = %(tenant)s AND id = %(id)s
