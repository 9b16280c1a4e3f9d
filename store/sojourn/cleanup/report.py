"""What came of a cleanup."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sojourn.errors import SojournError

__all__ = ["CleanupFailure", "CleanupReport", "DueReport", "Progress", "Tally"]

Progress = Callable[[int, int | None], None]
"""Is told how many sessions are done, and of how many, where that is known."""
_TOLD: Final = 100
"""Ids and failures that a report holds; the counts count all."""


@dataclass(frozen=True)
class CleanupFailure:
    """One session that could not be cleaned up; it stopped no other."""

    session_id: str
    error: SojournError

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"session_id": self.session_id, "error": type(self.error).__name__, "message": str(self.error)}


@dataclass(frozen=True)
class DueReport:
    """What `expire_due` did."""

    expired: int
    """Sessions past their deadline that became ``expired``."""
    lost: int
    """Those whose record was gone: evicted, or deleted by other hands."""
    damaged: int
    """Those whose record cannot be read; it is left for a person to look at."""
    removed: int
    """Ended sessions whose time to stay in Redis was over."""
    failed: int
    """Sessions at which Redis refused a command, such as one on a key of another type: `sojourn doctor` finds them."""
    failures: tuple[CleanupFailure, ...]
    """The first 100 of them."""
    more: bool
    """Whether something is left: the limit was reached, or the run was stopped."""
    duration_s: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "failures": [each.to_json() for each in self.failures]}


@dataclass(frozen=True)
class CleanupReport:
    """What `cleanup_inactive` did, or in a dry run what it would do."""

    looked_at: int
    """Live sessions that are old enough to be inactive: those ended, skipped and failed."""
    ended: int
    """Those that were not used for so long, and ended. In a dry run: that would end."""
    skipped: int
    """Those that were used since."""
    failed: int
    """Those that were not used, but could not be ended: damaged ones, or of a model that forbids it."""
    ids: tuple[str, ...]
    """The first 100 of those that ended."""
    failures: tuple[CleanupFailure, ...]
    """The first 100 of those that failed."""
    more: bool
    """Whether something is left: the run was stopped."""
    duration_s: float
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "ids": list(self.ids), "failures": [each.to_json() for each in self.failures]}


@dataclass
class Tally:
    """Counts a run as it goes, in a size that does not grow with it."""

    counts: dict[str, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    failures: dict[str, CleanupFailure] = field(default_factory=dict)
    more: bool = False
    started_s: float = field(default_factory=time.monotonic)

    def __getitem__(self, name: str) -> int:
        return self.counts.get(name, 0)

    def add(self, **counts: int) -> None:
        """Count some more."""
        for name, count in counts.items():
            self.counts[name] = self[name] + count

    def note(self, ids: Iterable[str], failures: Iterable[CleanupFailure]) -> None:
        """Keep the first ones, and count the failures. A step that was sent twice may meet one of them again."""
        self.ids += list(ids)[: _TOLD - len(self.ids)]
        for each in failures:
            if each.session_id not in self.failures:
                self.add(failed=1)
                if len(self.failures) < _TOLD:
                    self.failures[each.session_id] = each

    @property
    def done(self) -> int:
        """How many sessions it has dealt with."""
        return sum(self.counts.values())

    @property
    def done_anything(self) -> bool:
        """Whether there is anything to tell."""
        return any(self[name] for name in ("expired", "lost", "damaged", "removed", "ended", "failed"))

    @property
    def duration_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started_s

    def due_report(self) -> DueReport:
        """As the report of `expire_due`."""
        return DueReport(
            self["expired"], self["lost"], self["damaged"], self["removed"], self["failed"],
            tuple(self.failures.values()), self.more, self.duration_s,
        )  # fmt: skip

    def cleanup_report(self, *, dry_run: bool) -> CleanupReport:
        """As the report of `cleanup_inactive`."""
        return CleanupReport(
            self["ended"] + self["skipped"] + self["failed"], self["ended"], self["skipped"], self["failed"],
            tuple(self.ids), tuple(self.failures.values()), self.more, self.duration_s, dry_run,
        )  # fmt: skip
