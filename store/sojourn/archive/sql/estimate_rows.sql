-- About how many rows there are to look through; counting them would take longer than a statement may.
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint
FROM pg_class
WHERE oid IN ('sojourn.sessions'::regclass, 'sojourn.session_snapshots'::regclass, 'sojourn.session_events'::regclass)
