-- The chain begins behind this row from now on; within the transaction that removes what is before.
UPDATE sojourn.audit_heads SET pruned_seq = %(seq)s, pruned_hash = %(hash)s, updated_at = now() WHERE tenant = %(tenant)s
