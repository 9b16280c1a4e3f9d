-- The archive's tables that this login may not read and write as an archive run does.
SELECT relname
FROM pg_class
WHERE
    relnamespace = 'sojourn'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'
    AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT'))
ORDER BY relname
