-- Tables of the archive with more dead rows than live ones, and more than that number.
SELECT relname, n_dead_tup, n_live_tup
FROM pg_stat_user_tables
WHERE schemaname = 'sojourn' AND n_dead_tup > %(least)s AND n_dead_tup > n_live_tup
ORDER BY n_dead_tup DESC
