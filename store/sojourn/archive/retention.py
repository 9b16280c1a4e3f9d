"""Retention: what has been in the archive for as long as the settings say leaves it, batch by batch.

Each batch is one short transaction that waits for nobody: what another run holds is passed over. So runs may be killed
anywhere, and several may work at once. The decision is in ``docs/adr/0010-retention-by-batches.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

import psycopg

from sojourn.archive.audit.prune import prune_chains
from sojourn.archive.database import Connection, connected, statement
from sojourn.archive.rows import rows_json, session_key
from sojourn.archive.schema import check_schema
from sojourn.errors import SettingsError
from sojourn.settings import ArchiveRetention, Settings

__all__ = ["RetentionReport", "RuleReport", "apply_retention"]

_BATCH: Final = 1_000
"""Sessions that one transaction removes at most."""
_FIRST: Final = ("", "00000000-0000-0000-0000-000000000000")
Progress = Callable[[int], None]


@dataclass
class RuleReport:
    """What one rule removed, or would remove."""

    status: str | None
    kind: str | None
    keep_s: float | None
    """How long it keeps ended sessions, in seconds; None: for ever."""
    sessions: int = 0
    entries: int = 0
    events: int = 0
    snapshots: int = 0


@dataclass
class RetentionReport:
    """What retention removed, rule by rule in the order of the settings.

    Example:
        >>> RetentionReport([RuleReport("expired", None, 60.0, sessions=2)]).sessions
        2
    """

    rules: list[RuleReport] = field(default_factory=list)
    stray_events: int = 0
    """Events of sessions that the archive does not hold."""
    audit_rows: int = 0
    """Rows of the audit trail."""
    audit_damaged: list[str] = field(default_factory=list)
    """Tenants whose audit trail was tampered with, so that nothing of it is removed."""
    dry_run: bool = False
    """Whether this only tells what would be removed: sessions and stray events, but not what belongs to sessions."""
    complete: bool = True
    """Whether all was looked at; False where time ran out first."""
    duration_s: float = 0.0

    @property
    def sessions(self) -> int:
        """Sessions removed by all rules."""
        return sum(each.sessions for each in self.rules)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def apply_retention(
    settings: Settings, *, max_seconds: float = 60.0, dry_run: bool = False, progress: Progress | None = None
) -> RetentionReport:
    """Remove from the archive what the settings ``archive_retention`` and ``audit_retention`` no longer keep.

    Only ended sessions go, with their log entries, events and older states. Events of sessions that the archive does
    not hold go when they are older than what a rule for all sessions keeps. Without rules nothing goes. Of the audit
    trail goes the beginning, up to the first row that was recorded recently enough.

    Args:
        settings: where the archive is, and the rules.
        max_seconds: after so many seconds no further batch is begun; the next run goes on from there.
        dry_run: remove nothing, but tell what would be removed.
        progress: called after each batch with how many sessions were removed so far.

    Raises:
        SettingsError: no archive is set, or its URL is malformed.
        ArchiveUnavailable: PostgreSQL did not answer in time; what was removed until then stays removed.
        ArchiveSchemaMismatch: the tables are not those of this version.

    Example:
        >>> apply_retention(load_settings()).sessions  # doctest: +SKIP
        1204
    """
    if settings.archive_url is None:
        raise SettingsError("archive_url is not set: there is no archive")
    began = time.monotonic()
    rules = settings.archive_retention
    if not rules and settings.audit_retention is None:
        return RetentionReport(dry_run=dry_run)
    with connected(settings.archive_url, settings.archive_timeout) as connection:
        check_schema(connection, settings.archive_url)
        run = _Run(connection, rules, began + max_seconds, progress, dry_run=dry_run)
        run.sessions()
        run.strays()
        if settings.audit_retention is not None:
            run.audit(settings.audit_retention)
    run.report.duration_s = time.monotonic() - began
    return run.report


class _Run:
    def __init__(
        self, connection: Connection, rules: Sequence[ArchiveRetention], deadline_s: float,
        progress: Progress | None = None, *, dry_run: bool,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._progress = progress
        self._rules = rules
        self._deadline_s = deadline_s
        told = [
            RuleReport(each.status, each.kind, None if each.keep is None else each.keep.total_seconds())
            for each in rules
        ]
        self.report = RetentionReport(told, dry_run=dry_run)

    def sessions(self) -> None:
        """Deal with each status and kind there is by the first rule that is for it."""
        for status, kind in self._connection.execute(statement("ended_groups")).fetchall():
            for rule, told in zip(self._rules, self.report.rules, strict=True):
                if rule.status in (None, status) and rule.kind in (None, kind):
                    if rule.keep is not None:
                        self._group({"status": status, "kind": kind, "keep": rule.keep}, told)
                    break

    def _group(self, group: dict[str, Any], told: RuleReport) -> None:
        if self.report.dry_run:
            told.sessions += self._value("count_outdated", group)
            return
        limit = _BATCH
        while self._has_time():
            try:
                removed = self._connection.execute(statement("remove_outdated"), group | {"limit": limit}).fetchone()
            except psycopg.errors.QueryCanceled:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)  # sessions with very many entries: fewer at a time
                continue
            sessions, entries, events, snapshots = removed or (0, 0, 0, 0)
            told.sessions += sessions
            told.entries += entries
            told.events += events
            told.snapshots += snapshots
            if self._progress is not None:
                self._progress(self.report.sessions)
            if sessions < limit:
                return

    def strays(self) -> None:
        """Walk over all sessions that have events, for those that are not there.

        The walk begins anywhere, for one that always ran out of time would otherwise never come to the last ones.
        """
        keep = _keeps_all_for(self._rules)
        if keep is None:
            return
        start = self._connection.execute(statement("any_event_owner")).fetchone() or _FIRST
        self._walk(keep, start, (None, None))
        if start != _FIRST:
            self._walk(keep, _FIRST, start)

    def audit(self, keep: timedelta) -> None:
        """Remove the beginning of each tenant's audit trail."""
        self.report.audit_rows, self.report.audit_damaged = prune_chains(
            self._connection, keep, has_time=self._has_time, dry_run=self.report.dry_run
        )

    def _walk(self, keep: timedelta, place: Sequence[Any], last: Sequence[Any]) -> None:
        while self._has_time():
            bounds = dict(zip(("tenant", "session_id", "last_tenant", "last_session_id"), (*place, *last), strict=True))
            owners = self._connection.execute(statement("next_event_owners"), bounds | {"limit": _BATCH}).fetchall()
            missing = [session_key(tenant, str(session_id)) for tenant, session_id, is_missing in owners if is_missing]
            if missing:
                values = {"keys": rows_json(missing), "keep": keep}
                if self.report.dry_run:
                    self.report.stray_events += self._value("count_strays", values)
                else:
                    self.report.stray_events += self._connection.execute(statement("remove_strays"), values).rowcount
            if len(owners) < _BATCH:
                return
            place = owners[-1][:2]

    def _value(self, name: str, values: dict[str, Any]) -> int:
        row = self._connection.execute(statement(name), values).fetchone()
        return int(row[0]) if row else 0

    def _has_time(self) -> bool:
        if time.monotonic() < self._deadline_s:
            return True
        self.report.complete = False
        return False


def _keeps_all_for(rules: Sequence[ArchiveRetention]) -> timedelta | None:
    """The longest time for which a rule for all sessions keeps them; None: for ever."""
    kept = [each.keep for each in rules if each.status is None and each.kind is None]
    return None if not kept or None in kept else max(each for each in kept if each is not None)
