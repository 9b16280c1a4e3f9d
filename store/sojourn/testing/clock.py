"""The clock of a Redis in the process, which tests may set."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sojourn.errors import SojournError

__all__ = ["Clock", "ClockNotSettable"]


class ClockNotSettable(SojournError):
    """A real Redis goes by the clock of its machine, which no test may set."""


class Clock:
    """What time Redis says it is. It goes on by itself unless it is frozen, and never back.

    Args:
        moved: is called when it was moved on.

    Example:
        >>> clock = Clock()
        >>> clock.freeze(datetime(2030, 1, 1, tzinfo=UTC))
        >>> clock.advance(timedelta(days=1))
        >>> clock.now.isoformat()
        '2030-01-02T00:00:00+00:00'
    """

    def __init__(self, moved: Callable[[], object] | None = None) -> None:
        self._moved = moved
        self._ahead_s = 0.0
        self._frozen_s: float | None = None

    @property
    def now_s(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._ahead_s if self._frozen_s is None else self._frozen_s

    @property
    def now(self) -> datetime:
        """The same as an aware datetime, in UTC."""
        return datetime.fromtimestamp(self.now_s, UTC)

    def freeze(self, at: datetime | None = None) -> None:
        """Stand still, at a moment from now on or at once; it then moves by `advance` alone.

        Raises:
            ValueError: the moment is naive, or has passed.
        """
        now_s = self.now_s
        moment_s = now_s if at is None else _seconds(at)
        if moment_s < now_s:
            raise ValueError(f"the clock says {self.now.isoformat()} already, and does not go back")
        self._frozen_s = moment_s
        self._tell()

    def go_on(self) -> None:
        """Go on by itself, from where it stands."""
        if self._frozen_s is not None:
            self._ahead_s, self._frozen_s = self._frozen_s - time.time(), None

    def advance(self, by: timedelta | float) -> None:
        """Move on by seconds, or a timedelta; what has fallen due by then expires at once.

        Raises:
            ValueError: that is backwards, or no time at all.
        """
        by_s = by.total_seconds() if isinstance(by, timedelta) else float(by)
        if not 0 <= by_s < float("inf"):
            raise ValueError("the clock moves on by a finite time, and never back")
        if self._frozen_s is None:
            self._ahead_s += by_s
        else:
            self._frozen_s += by_s
        self._tell()

    def _tell(self) -> None:
        if self._moved is not None:
            self._moved()


def _seconds(moment: datetime) -> float:
    if moment.utcoffset() is None:
        raise ValueError("the moment has no time zone: datetime(..., tzinfo=UTC)")
    return moment.timestamp()
