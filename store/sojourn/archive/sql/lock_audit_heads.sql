-- tenants: a JSON array of names. The ends of their chains, made where there are none, and locked until the transaction
-- ends; the clock, read once they are. A head that is behind its rows was tampered with: what follows goes behind both.
INSERT INTO sojourn.audit_heads AS held (tenant)
SELECT tenant FROM jsonb_array_elements_text(%(tenants)s::jsonb) AS tenant ORDER BY tenant
ON CONFLICT (tenant) DO UPDATE SET tenant = excluded.tenant
RETURNING
    tenant, seq, hash, clock_timestamp(),
    (SELECT max(audit.seq) FROM sojourn.audit WHERE audit.tenant = held.tenant) AS last_seq
