SELECT seq, hash, pruned_seq, pruned_hash FROM sojourn.audit_heads WHERE tenant = %(tenant)s
