-- heads: a JSON array of {tenant, seq, hash}, the new ends of chains.
UPDATE sojourn.audit_heads AS held SET seq = new.seq, hash = decode(new.hash, 'hex'), updated_at = now()
FROM jsonb_to_recordset(%(heads)s::jsonb) AS new (tenant text, seq bigint, hash text)
WHERE held.tenant = new.tenant
