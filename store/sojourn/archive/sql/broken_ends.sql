-- Tenants whose audit trail does not end as noted: its last row is not there or has another hash, or one comes after it.
SELECT head.tenant
FROM sojourn.audit_heads AS head
LEFT JOIN sojourn.audit AS last ON last.tenant = head.tenant AND last.seq = head.seq
WHERE
    (head.seq > head.pruned_seq AND last.hash IS DISTINCT FROM head.hash)
    OR EXISTS (SELECT 1 FROM sojourn.audit AS later WHERE later.tenant = head.tenant AND later.seq > head.seq)
LIMIT %(limit)s
