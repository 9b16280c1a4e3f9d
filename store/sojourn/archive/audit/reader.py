"""Reading a tenant's audit trail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sojourn.archive.audit.verify import ChainReport, Head, verify_chain
from sojourn.archive.database import connected, statement
from sojourn.archive.schema import check_schema
from sojourn.errors import InvalidInput, SettingsError
from sojourn.keys import check_id, check_tenant
from sojourn.limits import at_most
from sojourn.operations.listing import moment_in_utc, pack_cursor, unpack_cursor
from sojourn.settings import Settings

__all__ = ["Audit", "AuditEntry", "AuditPage"]

_LONGEST: Final = 512
_MOST_ACTIONS: Final = 100
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of a tenant's audit trail."""

    tenant: str
    seq: int
    """Its place in the chain; 1 is the first of all."""
    at: datetime
    """When it happened, by the clock of Redis."""
    recorded_at: datetime
    """When the archive heard of it, by PostgreSQL's clock."""
    actor: str
    """Who; empty where nobody said."""
    action: str
    """What: the type of the event (see `Event`), or what an operator did, as ``noun.verb``."""
    session_id: str | None
    trace_id: str
    """From where; empty where nobody said."""
    event_id: str
    """Of the event; empty for what the archive itself tells (``audit.prune``)."""
    detail: Mapping[str, Any]
    """``version``, ``kind``, ``status``, ``end_reason``, the names of the fields in ``changed``; of limits and of what
    operators did, their ``changes``."""
    hash: str
    """In hexadecimal."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values; times are milliseconds since the epoch, as in `Event.to_json`."""
        told = {name: getattr(self, name) for name in self.__slots__}
        for name in ("at", "recorded_at"):
            told[f"{name}_ms"] = round(told.pop(name).timestamp() * 1000)
        return told


@dataclass(frozen=True)
class AuditPage:
    """Some of the entries that a list found, newest first. `cursor` continues it; None: there are no more."""

    entries: tuple[AuditEntry, ...]
    cursor: str | None = None


class Audit:
    """The audit trail of one tenant: who did what, when, and from where. Reads only; safe to share between threads.

    Every method raises `ArchiveUnavailable` if PostgreSQL does not answer in time, and `ArchiveSchemaMismatch` if its
    tables are not those of this version.

    Args:
        settings: where the archive is.
        tenant: whose; None: what the settings say.

    Raises:
        SettingsError: no archive is set.
        InvalidName: not a tenant's name.

    Example:
        >>> [entry.action for entry in store.archive.audit.list(actor="ada").entries]  # doctest: +SKIP
        ['deleted', 'created']
    """

    def __init__(self, settings: Settings, *, tenant: str | None = None) -> None:
        if settings.archive_url is None:
            raise SettingsError("archive_url is not set: there is no archive")
        self.settings = settings
        self.tenant = check_tenant(settings.tenant if tenant is None else tenant)
        self._url = settings.archive_url

    def __repr__(self) -> str:
        return f"Audit(tenant={self.tenant!r})"

    def list(
        self,
        *,
        action: str | Iterable[str] | None = None,
        actor: str | None = None,
        session_id: str | None = None,
        trace_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> AuditPage:
        """A page of the entries that match all of the filters, newest first, in the order of the chain.

        Args:
            action: one or several, such as ``deleted`` or ``archive.retention``.
            actor: who; ``""`` for what nobody said to have done.
            session_id: what happened to this session.
            trace_id: what came of this trace.
            since: happened at or after this moment.
            until: happened at or before this moment.
            limit: entries on the page, at most the setting ``limits.batch``.
            cursor: where the page before left off.

        Raises:
            InvalidInput: a filter is no good.
            InvalidCursor: the cursor is damaged, or comes from another query.

        Example:
            >>> audit.list(action=("deleted", "session.restore"), limit=10).entries  # doctest: +SKIP
        """
        longest = self.settings.limits.batch
        if type(limit) is not int or not 1 <= limit <= longest:
            raise InvalidInput(f"a page holds 1 to {longest} entries")
        wanted = {
            "tenant": self.tenant,
            "actions": None if action is None else _actions(action),
            "actor": _text("actor", actor),
            "session_id": None if session_id is None else check_id(session_id),
            "trace_id": _text("trace_id", trace_id),
            "since": _moment("since", since),
            "until": _moment("until", until),
        }
        digest = hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:12]
        before_seq = None if cursor is None else unpack_cursor(cursor, digest, _check_seq)
        with connected(self._url, self.settings.archive_timeout) as connection:
            rows = connection.execute(
                statement("list_audit"), wanted | {"before_seq": before_seq, "limit": limit + 1}
            ).fetchall()
        entries = tuple(self._entry(*row) for row in rows[:limit])
        return AuditPage(entries, pack_cursor(digest, entries[-1].seq) if len(rows) > limit else None)

    def verify(self, *, expect: str | None = None, progress: Progress | None = None) -> ChainReport:
        """Check the tenant's whole chain: that no row was changed, removed, added or moved, and that its ends hold.

        It reads the rows as they are at one moment, in constant memory, whatever is added meanwhile.

        Args:
            expect: ``SEQ:HASH`` as an earlier report's `head`, kept elsewhere: whether the chain still contains it.
                Only this finds what somebody changed who could write all tables, and computed all hashes anew.
            progress: called with how many rows are checked, and how many there are about.

        Raises:
            InvalidInput: `expect` is not of that form.

        Example:
            >>> report = audit.verify(expect="1204:5f2c...")  # doctest: +SKIP
            >>> report.is_sound, report.head  # doctest: +SKIP
        """
        expected = None if expect is None else Head.parse(expect)
        with connected(self._url, self.settings.archive_timeout) as connection:
            check_schema(connection, self._url)
            return verify_chain(connection, self.tenant, expected, progress)

    def verify_all(self, *, progress: Progress | None = None) -> tuple[ChainReport, ...]:
        """Check the chains of all tenants, as `verify` does, in the order of their names.

        Args:
            progress: called with how many rows of the chain at hand are checked, and how many it has about.

        Example:
            >>> all(report.is_sound for report in audit.verify_all())  # doctest: +SKIP
            True
        """
        with connected(self._url, self.settings.archive_timeout) as connection:
            check_schema(connection, self._url)
            tenants = [row[0] for row in connection.execute(statement("audit_tenants"))]
            return tuple(verify_chain(connection, each, None, progress) for each in tenants)

    def _entry(
        self, seq: int, at: datetime, recorded_at: datetime, actor: str, action: str, session_id: str | None,
        trace_id: str, event_id: str, detail: str, digest: bytes,
    ) -> AuditEntry:  # fmt: skip
        return AuditEntry(
            self.tenant, seq, at.astimezone(UTC), recorded_at.astimezone(UTC), actor, action, session_id, trace_id,
            event_id, _detail(detail), bytes(digest).hex(),
        )  # fmt: skip


def _detail(text: str) -> Mapping[str, Any]:
    """A detail as it was written; what other hands wrote is told as text."""
    try:
        found = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"unreadable": text}


def _actions(action: str | Iterable[str]) -> list[str]:
    actions = [action] if isinstance(action, str) else at_most(action, _MOST_ACTIONS, "action")
    if not actions:
        raise InvalidInput("an empty choice of actions matches nothing")
    for each in actions:
        _text("action", each)
    return sorted(set(actions))


def _text(name: str, text: str | None) -> str | None:
    if text is not None and not (isinstance(text, str) and text.isprintable() and len(text) <= _LONGEST):
        raise InvalidInput(f"{name} is printable text of at most {_LONGEST} characters")
    return text if text is None else str.__str__(text)


def _moment(name: str, moment: datetime | None) -> datetime | None:
    return None if moment is None else moment_in_utc(name, moment)


def _check_seq(seq: int) -> int:
    if type(seq) is not int or not 0 < seq < 2**63:
        raise ValueError("not a place in a chain")
    return seq
