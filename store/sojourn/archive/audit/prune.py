"""Retention of the audit trail: the beginning of a chain goes, and the chain itself tells so.

What was recorded longer ago than rows are kept leaves, by PostgreSQL's clock: the time that an event tells of itself
was written in Redis, and could be written to have it removed early. What is removed is verified first, so that nothing
that was tampered with is lost to those who look for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sojourn.archive.audit.append import Appender
from sojourn.archive.audit.events import PRUNED
from sojourn.archive.audit.verify import walk
from sojourn.archive.copying import append
from sojourn.archive.database import Connection, statement
from sojourn.logs import Log

__all__ = ["prune_chains"]

_BATCH: Final = 5_000
"""Rows that one transaction removes at most."""
_ACTOR: Final = "sojourn"
LOG: Final = Log("sojourn.archive")


def prune_chains(
    connection: Connection, keep: timedelta, *, has_time: Callable[[], bool], dry_run: bool
) -> tuple[int, list[str]]:
    """Remove what was recorded longer than `keep` ago; how many rows, and the tenants whose chains are damaged.

    A damaged chain is left as it is. One that an archive run adds to at this moment is left to the next time.
    """
    removed = 0
    damaged = []
    for (tenant,) in connection.execute(statement("audit_tenants")).fetchall():
        while has_time():
            try:
                count = _prune(connection, tenant, keep, dry_run=dry_run)
            except _Damaged:
                damaged.append(tenant)
                break
            removed += count
            if dry_run or count < _BATCH:
                break
    for tenant in damaged:
        LOG.error("audit trail is damaged", tenant=tenant, then="it is kept as it is; see 'sojourn audit verify'")
    return removed, damaged


class _Damaged(Exception):
    """One of the rows that would go is not as it was written."""


def _prune(connection: Connection, tenant: str, keep: timedelta, *, dry_run: bool) -> int:
    with connection.transaction():
        found = connection.execute(statement("try_audit_head"), {"tenant": tenant}).fetchone()
        if found is None:
            return 0
        values = {"tenant": tenant, "keep": keep, "limit": None if dry_run else _BATCH}
        row = connection.execute(statement("outdated_audit"), values).fetchone()
        if row is None:
            return 0
        last_seq = row[0]
        if dry_run:
            return int(last_seq - found[0])
        digest = _verified(connection, tenant, found[0], bytes(found[1]), last_seq)
        anchor = {"tenant": tenant, "seq": last_seq, "hash": digest}
        connection.execute(statement("move_audit_anchor"), anchor)
        count = connection.execute(statement("prune_audit"), anchor).rowcount
        _tell(connection, tenant, last_seq, digest, count)
        return count


def _verified(connection: Connection, tenant: str, seq: int, digest: bytes, last_seq: int) -> bytes:
    """The hash of the last row that goes, once all of them are as they were written."""
    for link in walk(connection, tenant):
        seq += 1
        if link.seq != seq or link.previous != digest or link.computed(tenant) != link.hash:
            raise _Damaged
        digest = link.hash
        if seq == last_seq:
            break
    return digest


def _tell(connection: Connection, tenant: str, seq: int, digest: bytes, rows: int) -> None:
    """Note in the chain itself where it begins from now on: whoever moves its beginning by hand is found out."""
    trail = Appender(connection)
    trail.lock([tenant])
    detail = json.dumps({"seq": seq, "hash": digest.hex(), "rows": rows}, separators=(",", ":"))
    row = trail.row(tenant, None, _ACTOR, PRUNED, None, "", "", detail)
    append(connection, [row])
    trail.close()
