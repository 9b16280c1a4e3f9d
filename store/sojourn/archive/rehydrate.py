"""Filling Redis from the archive after a disaster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sojourn.archive.database import connected, statement
from sojourn.archive.loader import Execute, Loader, Row
from sojourn.archive.schema import check_schema
from sojourn.archive.tenants import bring_back
from sojourn.errors import InvalidInput, SettingsError
from sojourn.keys import REHYDRATING, check_id, check_tenant
from sojourn.operations.core import Operation, raise_for
from sojourn.operations.read import open_layout
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["RehydrateReport", "rehydrate"]

_BATCH: Final = 200
_REMEMBERED_S: Final = 3600
_FIRST: Final = ("", "00000000-0000-0000-0000-000000000000")

Progress = Callable[[int, int], None]


@dataclass
class RehydrateReport:
    """What became of the sessions that the archive held as live.

    Example:
        >>> RehydrateReport(loaded=3).to_json()["loaded"]
        3
    """

    loaded: int = 0
    """Put back; those past their deadline among them, for a worker to claim."""
    replaced: int = 0
    """Put in the place of an older state."""
    removed: int = 0
    """Older live states of sessions that had ended since, taken away."""
    same: int = 0
    """In Redis already."""
    newer: int = 0
    """In Redis in a newer state, which stays."""
    ended: int = 0
    """Ended, by the archive; those stay there."""
    damaged: int = 0
    """Left alone: what Redis or the archive holds cannot be read."""
    missing: int = 0
    """Asked for by id, but not in the archive."""
    resumed: bool = False
    """Whether this went on where an earlier call was cut short; the counts are those of both."""
    dry_run: bool = False
    """Whether this only tells what would become of them."""
    duration_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def add(self, outcomes: Iterable[str]) -> None:
        """Count outcomes."""
        for outcome in outcomes:
            setattr(self, outcome, getattr(self, outcome) + 1)


def rehydrate(
    settings: Settings,
    *,
    ids: Iterable[str] | None = None,
    tenant: str | None = None,
    restart: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> RehydrateReport:
    """Put sessions that were live when they were last archived back into Redis, with the time that they have left.

    Nothing is overwritten by something older. A session past its deadline is put back too: then a worker claims it,
    and its hooks run. Workers and clients may be at work meanwhile. Cut short, the next call goes on from there.

    Args:
        settings: where Redis and the archive are.
        ids: only these sessions, of `tenant` or else the tenant of the settings.
        tenant: only this tenant's sessions; None: those of all tenants.
        restart: begin anew, not where an earlier call was cut short.
        dry_run: put nothing back, but tell what would become of each.
        progress: is told how many are done, and how many there are in all, after each batch.

    Raises:
        SettingsError: no archive is set.
        InvalidId, InvalidName: not a session's id, or not a tenant's name.
        ArchiveUnavailable, ArchiveSchemaMismatch: the archive cannot be read.
        StoreUnavailable, StoreFull: Redis could not take them all.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> rehydrate(load_settings()).loaded  # doctest: +SKIP
        12000
    """
    if settings.archive_url is None:
        raise SettingsError("archive_url is not set: there is no archive")
    if tenant is not None:
        check_tenant(tenant)
    wanted = None if ids is None else [(tenant or settings.tenant, check_id(each)) for each in ids]
    if wanted is not None and len(set(wanted)) != len(wanted):
        raise InvalidInput("a session is named twice")
    began = time.monotonic()
    transport = Transport(settings)
    try:
        for step in open_layout(settings.partitions):
            if step.parse(transport.execute([step])[0]):
                break
        with connected(settings.archive_url, settings.archive_timeout) as connection:
            check_schema(connection, settings.archive_url)
            if wanted is None and not dry_run:
                bring_back(settings, transport.execute, connection, tenant, settings.actor or "rehydrate")
            loader = Loader(settings, transport.execute, connection, settings.actor or "rehydrate", dry_run=dry_run)
            tell = progress or (lambda done, total: None)
            if wanted is not None:
                report = _named(loader, wanted, tell)
            else:
                total = connection.execute(statement("count_live_sessions"), {"tenant": tenant}).fetchall()[0][0]
                report = _All(loader, transport.execute, tenant, total, tell).run(restart=restart, dry_run=dry_run)
    finally:
        transport.close()
    report.duration_s = time.monotonic() - began
    report.dry_run = dry_run
    return report


def _named(loader: Loader, wanted: list[tuple[str, str]], tell: Progress) -> RehydrateReport:
    report = RehydrateReport()
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        rows = loader.named(part)
        report.missing += len(part) - len(rows)
        report.add(loader.load(rows))
        tell(start + len(part), len(wanted))
    return report


@dataclass
class _All:
    """All live sessions, batch by batch. How far that came is kept in the Redis that is filled, and goes with it."""

    loader: Loader
    execute: Execute
    tenant: str | None
    total: int
    tell: Progress
    after: tuple[str, str] = _FIRST
    done: int = 0
    report: RehydrateReport = field(default_factory=RehydrateReport)

    def run(self, *, restart: bool, dry_run: bool = False) -> RehydrateReport:
        """Do it; a dry run neither goes on from anywhere nor notes how far it came."""
        if dry_run:
            while rows := self._next():
                self.report.add(self.loader.load(rows))
                self.done += len(rows)
                self.tell(self.done, max(self.total, self.done))
            return self.report
        if not restart:
            self._resume()
        self.tell(self.done, self.total)
        resumed_at = self.after
        while rows := self._next():
            self.report.add(self.loader.load(rows))
            self.done += len(rows)
            self._remember()
            self.tell(self.done, max(self.total, self.done))
        # What was put back before it was cut short may be gone again.
        self.after = _FIRST
        while self.after < resumed_at and (rows := self._next()):
            self.report.add(self.loader.load(rows))
        self._do(("DEL", REHYDRATING))
        return self.report

    def _next(self) -> list[Row]:
        rows = self.loader.read(
            "live_sessions", after_tenant=self.after[0], after_id=self.after[1], tenant=self.tenant, limit=_BATCH
        )
        if rows:
            self.after = rows[-1][:2]
        return rows

    def _resume(self) -> None:
        text = self._do(("GET", REHYDRATING))
        try:
            found = json.loads(text or "null")
            if not isinstance(found, dict) or found["of"] != self.tenant:
                return
            self.after, self.done = (found["after"][0], check_id(found["after"][1])), int(found["done"])
            self.report = RehydrateReport(**found["report"])
        except (ValueError, TypeError, LookupError):
            return  # other hands wrote it: from the start, then, which costs nothing but time
        self.report.resumed = True

    def _remember(self) -> None:
        known = {"of": self.tenant, "after": self.after, "done": self.done, "report": self.report.to_json()}
        self._do(("SET", REHYDRATING, json.dumps(known), "EX", _REMEMBERED_S))

    def _do(self, command: tuple[Any, ...]) -> Any:
        def parse(replies: list[Any]) -> Any:
            raise_for(replies[0], "-", "-")
            return replies[0]

        operation = Operation((command,), parse)
        return operation.parse(self.execute([operation])[0])
