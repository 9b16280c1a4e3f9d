-- The archive's tables that this login may not read and write as an archive run does, and where it may not copy rows to.
SELECT relname::text
FROM pg_class
WHERE
    relnamespace = 'sojourn'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'alembic_version'
    AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT'))
UNION ALL
SELECT 'temporary tables'
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
ORDER BY 1
