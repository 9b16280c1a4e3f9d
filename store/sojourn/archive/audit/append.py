"""Adding to the audit trail, within the transaction of the caller.

Events come to the archive at least once. What is already told, column for column, is left out; the look-up by the
event's id is made under the lock on the end of the chain, so nobody can add the same in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from sojourn.archive.audit.chain import Link, microseconds
from sojourn.archive.audit.events import Audited
from sojourn.archive.database import Connection, statement
from sojourn.archive.exact import quote
from sojourn.archive.lines import escaped_texts, template
from sojourn.archive.rows import rows_json
from sojourn.logs import Log

__all__ = ["Appender"]

LOG: Final = Log("sojourn.archive")


_COLUMNS: Final = (
    "tenant", "at", "actor", "trace_id", "seq", "recorded_at", "action", "about", "event_id", "detail", "previous",
    "hash",
)  # fmt: skip
_ABOUT: Final = _COLUMNS.index("about")
_LINE: Final = template("store_audit", _COLUMNS)
_LINE_OF_NONE: Final = template("store_audit", [each for each in _COLUMNS if each != "about"])
"""Of what happened to no session."""
_text = lru_cache(maxsize=1024)(datetime.isoformat)
"""Times of neighbours are often the same."""


class Appender:
    """Adds to the chains of several tenants in one transaction. Whoever asked for rows writes them, then `close`s.

    The ends of the chains are locked from the first row on until the transaction ends.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ends: dict[str, tuple[int, bytes]] = {}
        """The end of each locked chain, with what was added to it."""
        self._now: dict[str, datetime] = {}
        self.added = 0

    def rows(self, found: Sequence[Audited]) -> list[str]:
        """The rows, for ``store_audit``, that these events are yet to get, in order. Each must then be written."""
        if not found:
            return []
        tenants = {each.tenant for each in found} - self._ends.keys()
        keys = [f'{{"tenant":{quote(each.tenant)},"event_id":{quote(each.event_id)}}}' for each in found]
        # Two statements: the second must see what others committed before the first had the locks.
        with self._connection.pipeline():
            locked = self._lock(tenants) if tenants else None
            known = self._connection.execute(statement("known_audit"), {"keys": rows_json(keys)})
        for tenant, seq, digest, now, last_seq in locked or ():
            self._found_end(tenant, seq, digest, now, last_seq)
        told: dict[str, list[Audited]] = {}  # by the event, which is cheaper to look for than all that is told of it
        for tenant, at, *rest in known:
            held = Audited(tenant, at.astimezone(UTC), *rest)
            told.setdefault(held.event_id, []).append(held)
        rows = []
        for each in found:
            same = told.setdefault(each.event_id, [])
            if each not in same:
                same.append(each)
                rows.append(self.row(*each))
        return rows

    def lock(self, tenants: Iterable[str]) -> None:
        """Lock the ends of chains; `rows` does so by itself."""
        for end in self._lock(tenants):
            self._found_end(*end)

    def row(
        self, tenant: str, at: datetime | None, actor: str, action: str, session_id: str | None, trace_id: str,
        event_id: str, detail: str,
    ) -> str:  # fmt: skip
        """The next row of a tenant whose chain is locked, to be written; `at` None: now."""
        end, previous = self._ends[tenant]
        seq, now = end + 1, self._now[tenant]
        at = at or now
        at_us, recorded_us = microseconds(at), microseconds(now)
        digest = Link(
            seq, at_us, recorded_us, actor, action, session_id, trace_id, event_id, detail, previous, b""
        ).computed(tenant)
        self._ends[tenant] = seq, digest
        self.added += 1
        values = [
            tenant, _text(at), actor, trace_id, str(seq), _text(now), action, session_id or "", event_id, detail,
            previous.hex(), digest.hex(),
        ]  # fmt: skip
        if session_id is not None:
            return _LINE % tuple(escaped_texts(values))
        del values[_ABOUT]
        return _LINE_OF_NONE % tuple(escaped_texts(values))

    def close(self) -> None:
        """Note where the chains end now."""
        if self.added:
            heads = [
                f'{{"tenant":{quote(tenant)},"seq":{seq},"hash":"{digest.hex()}"}}'
                for tenant, (seq, digest) in sorted(self._ends.items())
            ]
            self._connection.execute(statement("move_audit_heads"), {"heads": rows_json(heads)})

    def _lock(self, tenants: Iterable[str]) -> Any:
        return self._connection.execute(statement("lock_audit_heads"), {"tenants": json.dumps(sorted(tenants))})

    def _found_end(self, tenant: str, seq: int, digest: bytes, now: datetime, last_seq: int | None) -> None:
        if last_seq is not None and last_seq > seq:
            LOG.error("audit trail is damaged", tenant=tenant, then="see 'sojourn audit verify'")
            seq = last_seq
        self._ends[tenant] = seq, bytes(digest)
        self._now[tenant] = now.astimezone(UTC)
