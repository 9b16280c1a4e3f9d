-- How many sessions a list would find.
SELECT count(*)
-- @include matching_sessions
