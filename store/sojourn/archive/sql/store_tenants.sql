-- rows: a JSON array of {tenant, partition, limits}.
INSERT INTO sojourn.tenants AS held (tenant, partition, limits)
SELECT tenant, partition, limits
FROM jsonb_to_recordset(%(rows)s::jsonb) AS new (tenant text, partition integer, limits jsonb)
ON CONFLICT (tenant) DO UPDATE SET partition = excluded.partition, limits = excluded.limits, updated_at = now()
