-- The beginning of a chain, locked until the transaction ends, in which retention may remove rows; nothing where an
-- archive run adds to it at this moment.
SELECT pruned_seq, pruned_hash, set_config('sojourn.audit_retention', 'on', true)
FROM sojourn.audit_heads
WHERE tenant = %(tenant)s
FOR UPDATE SKIP LOCKED
