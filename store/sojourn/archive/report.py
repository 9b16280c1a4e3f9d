"""What one archive run did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ArchiveReport"]


@dataclass
class ArchiveReport:
    """Counts of one archive run, for logs and metrics. A second run over the same state counts nothing again.

    Example:
        >>> ArchiveReport(sessions=3, settled=3).to_json()["sessions"]
        3
    """

    sessions: int = 0
    """Session rows written, new or newer."""
    entries: int = 0
    """Log entries written."""
    events: int = 0
    """Events written."""
    audited: int = 0
    """Rows added to the audit trail."""
    settled: int = 0
    """Sessions that Redis then no longer counted as changed."""
    removed: int = 0
    """Ended sessions past their retention that Redis then let go of."""
    changed: int = 0
    """Sessions that changed while they were archived; they stay in line."""
    damaged: int = 0
    """Records, log entries and events that cannot be stored; all but the events stay in Redis."""
    lost: int = 0
    """Sessions whose record was gone before its end was archived (evicted, or deleted by other hands)."""
    stale: int = 0
    """Sessions of which the archive holds a newer state than Redis (Redis was restored from an older copy)."""
    restored: int = 0
    """Sessions that were brought up to the archive's newer state, for that reason."""
    again: int = 0
    """Sessions that are to be archived again, since the archive was restored from an older copy, or is new."""
    busy: int = 0
    """Partitions that were left to another run, which held them for too long."""
    complete: bool = True
    """Whether all that was in line at the start was dealt with; False where time ran out first."""
    duration_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
