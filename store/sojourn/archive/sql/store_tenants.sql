-- rows: a JSON array of {tenant, partition, limits}. A tenant keeps its partition for as long as it is there: where Redis
-- knows of none, it lost its data. Of whom nothing is to be said, nothing is.
INSERT INTO sojourn.tenants AS held (tenant, partition, limits)
SELECT tenant, partition, limits
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new (tenant text, partition integer, limits jsonb)
WHERE partition IS NOT NULL OR limits <> '{}' OR EXISTS (SELECT FROM sojourn.tenants AS held WHERE held.tenant = new.tenant)
ON CONFLICT (tenant) DO UPDATE
SET partition = coalesce(excluded.partition, held.partition), limits = excluded.limits, updated_at = now()
