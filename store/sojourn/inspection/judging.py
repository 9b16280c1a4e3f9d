"""What should be there of a session, by its record: what makes a finding drift."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.models import LIVE

__all__ = ["Facts", "index_values", "split"]

_SLACK_MS: Final = 2_000
"""By how much a TTL may differ: the reads are not at one moment, and Redis rounds."""
_LIVE: Final = frozenset(map(str, LIVE))


def split(text: str | None) -> tuple[str, ...]:
    """The words of a list with commas."""
    return tuple(filter(None, (text or "").split(",")))


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 16 else None


def index_values(spec: str, text: str | None) -> tuple[str, ...]:
    """The values under which a field is indexed; the twin of ``lua/include/index.lua``.

    Example:
        >>> index_values("tags[]", '["a", "b"]'), index_values("owner", "ada"), index_values("owner", None)
        (('a', 'b'), ('ada',), ())
    """
    if not text:
        return ()
    if not spec.endswith("[]"):
        return (text,)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


@dataclass(frozen=True)
class Facts:
    """A record's own word on where it belongs. An empty one belongs nowhere."""

    record: Mapping[str, str]
    now_ms: int

    @property
    def exists(self) -> bool:
        """Whether there is a record."""
        return bool(self.record)

    @property
    def is_live(self) -> bool:
        """Whether it says that it has not ended."""
        return self.record.get("status") in _LIVE

    @property
    def deadline_ms(self) -> int | None:
        """Its deadline, where it has one."""
        return _whole(self.record.get("expires_at_ms"))

    @property
    def is_overdue(self) -> bool:
        """Whether that has passed."""
        deadline_ms = self.deadline_ms
        return self.is_live and deadline_ms is not None and deadline_ms <= self.now_ms

    @property
    def created(self) -> str | None:
        """The score of its index entries."""
        return self.record.get("created_at_ms")

    @property
    def logs(self) -> tuple[str, ...]:
        """The logs that it has."""
        return split(self.record.get("_logs"))

    def indexes(self) -> Iterator[tuple[str, str]]:
        """Fields and values under which it is listed, but for its status."""
        for spec in split(self.record.get("_indexes")):
            field = spec.removesuffix("[]")
            for value in index_values(spec, self.record.get(field)):
                yield field, value

    def of_record(self, ttl_ms: int | None) -> str:
        """What is wrong with the record's TTL."""
        if ttl_ms is None and not self.is_live:
            return "has no TTL, though the session has ended: it stays for ever if it is not removed"
        if ttl_ms is None and self.deadline_ms is not None:
            return "has no TTL, though the session has a deadline"
        if ttl_ms is not None and self.is_live and self.deadline_ms is None:
            return "has a TTL, though the session has no deadline: it will vanish"
        if ttl_ms is not None and self.is_live and self.now_ms + ttl_ms < (self.deadline_ms or 0) - _SLACK_MS:
            return "goes before the session's deadline"
        return ""

    def of_lease(self, *, there: bool, ttl_ms: int | None) -> str:
        """What is wrong with the lease."""
        wanted = self.is_live and self.deadline_ms is not None and not self.is_overdue
        if there and not self.exists:
            return _STRAY
        if there and not (self.is_live and self.deadline_ms is not None):
            return "is there, though the session " + ("has no deadline" if self.is_live else "has ended")
        if wanted and not there and (self.deadline_ms or 0) - self.now_ms > _SLACK_MS:
            return "is missing: nothing is notified at the deadline, and only the sweep claims the session"
        if there and ttl_ms is None:
            return "has no TTL: nothing is notified at the deadline"
        if there and ttl_ms is not None and abs(self.now_ms + ttl_ms - (self.deadline_ms or 0)) > _SLACK_MS:
            return "ends at another time than the session's deadline"
        return ""

    def of_deadline(self, score: str | None) -> str:
        """What is wrong with the entry among the deadlines."""
        if not (self.is_live and self.deadline_ms is not None):
            return "" if score is None else _STRAY if not self.exists else "is there, though nothing is to expire"
        if score is None:
            return "is missing: no sweep finds the session when its deadline has passed"
        return "" if _whole(score) == self.deadline_ms else "is another than the record's"

    def of_removal(self, score: str | None) -> str:
        """What is wrong with the entry among the removals."""
        if self.exists and not self.is_live:
            return "is missing: the record stays until its TTL is over" if score is None else ""
        return "" if score is None else _STRAY if not self.exists else "is there, though the session has not ended"

    def of_place(self, *, there: bool, counted: bool) -> str:
        """What is wrong with its place within the tenant's limits, which are `counted` once there are some."""
        if there:
            return "" if self.is_live else _STRAY if not self.exists else "is taken, though the session has ended"
        return "is missing: the session does not count" if counted and self.is_live else ""

    def of_entry(self, score: str | None) -> str:
        """What is wrong with an index entry that should be there."""
        if score is None:
            return "is missing: lists and counts leave the session out"
        return "" if score == self.created else "has another time of creation than the record"

    def of_stray(self) -> str:
        """What is wrong with something that should not be there."""
        return _STRAY if not self.exists else "is there, though the record says otherwise"


_STRAY: Final = "is there without a record"
