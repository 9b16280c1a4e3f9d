"""The audit trail: who did what, when, and from where, in one chain of hashes per tenant.

What becomes a row is told in `events`, how rows hang together in `chain`, and who adds them in `append`. `Audit` reads
and verifies them. The decisions are in ``docs/adr/0016-an-audit-trail-in-a-chain-of-hashes.md``.
"""

from sojourn.archive.audit.reader import Audit, AuditEntry, AuditPage
from sojourn.archive.audit.verify import ChainReport, Head, Problem

__all__ = ["Audit", "AuditEntry", "AuditPage", "ChainReport", "Head", "Problem"]
