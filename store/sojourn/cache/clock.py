"""Redis's time, as far as a process knows it without asking."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["CLOCK", "MARGIN_MS", "WHICH", "RedisClock"]


def _monotonic(_: int) -> float:
    return time.monotonic()


# A clock that also counts while the machine sleeps: Linux has one of that name, and elsewhere the monotonic one does.
CLOCK: Final[Callable[[int], float]] = getattr(time, "clock_gettime", _monotonic)
"""``CLOCK(WHICH)`` is the time in seconds since some moment."""
WHICH: Final[int] = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
MARGIN_MS: Final = 20.0
"""What is read from a cache ends that long before its deadline: room for clocks that do not go equally fast."""


class RedisClock:
    """How far Redis's time is ahead of this process's clock.

    A reply to TIME was made after it was asked for, and before it came, so it tells two bounds. Deadlines are held
    against the later one: a slow reply makes them come early, and never late.

    Args:
        patience_s: for so long a reply may be too slow to tell whether Redis's clock was set.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self.reset()

    def reset(self) -> None:
        """Know nothing."""
        self._ahead_ms: float | None = None
        self._least_ms = float("inf")
        self._sure_s = float("inf")

    def learn(self, asked_s: float, came_s: float, told_ms: float) -> bool:
        """Take a reply to TIME; whether what was computed before still holds. If not, Redis's clock was set forward."""
        at_most, at_least = told_ms - asked_s * 1000, told_ms - came_s * 1000
        if at_most <= self._least_ms + MARGIN_MS:
            self._ahead_ms, self._least_ms, self._sure_s = at_most, min(self._least_ms, at_most), asked_s
            return True
        if at_least <= self._least_ms + MARGIN_MS and asked_s - self._sure_s < self._patience_s:
            return True
        self._ahead_ms = self._least_ms = at_most
        self._sure_s = asked_s
        return False

    def local_s(self, redis_ms: float) -> float:
        """The moment of this process's clock at which Redis's is not past that one, with the margin."""
        if self._ahead_ms is None:
            return float("-inf")
        return (redis_ms - self._ahead_ms - MARGIN_MS) / 1000
