-- tenant: one, or NULL for all. What is known of tenants beside their sessions.
SELECT tenant, partition, limits
FROM sojourn.tenants
WHERE tenant = coalesce(%(tenant)s, tenant)
ORDER BY tenant
