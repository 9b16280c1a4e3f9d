-- A session of a large table of events, any; a small one may give none.
SELECT tenant, session_id FROM sojourn.session_events TABLESAMPLE SYSTEM (1) LIMIT 1
