-- Timeouts in milliseconds. A commit must mean that a crash of the server does not undo it, since Redis then lets go.
SELECT
    set_config('statement_timeout', %s, false),
    set_config('lock_timeout', %s, false),
    CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
