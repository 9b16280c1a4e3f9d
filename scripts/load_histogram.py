"""Latencies counted in buckets, to two significant digits as HdrHistogram does: exact enough, and small always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["Histogram"]

_BITS = 7
"""Leading bits that are kept: a bucket is at most 1/64 of its value wide."""


class Histogram:
    """Microseconds, and how often each was met.

    Example:
        >>> histogram = Histogram()
        >>> for value in range(1, 1001):
        ...     histogram.add(value)
        >>> histogram.at(0.5), histogram.at(1.0), histogram.total
        (503, 1000, 1000)
    """

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        """By the upper ends of their buckets, so that nothing seems faster than it was."""
        self.longest = 0

    @property
    def total(self) -> int:
        """How many were added."""
        return self.counts.total()

    def add(self, value_us: int) -> None:
        """Count one value."""
        shift = max(0, value_us.bit_length() - _BITS)
        self.counts[((value_us >> shift) + 1 << shift) - 1] += 1
        self.longest = max(self.longest, value_us)

    def merge(self, others: Iterable[Histogram]) -> Histogram:
        """Add what others counted; this one."""
        for other in others:
            self.counts += other.counts
            self.longest = max(self.longest, other.longest)
        return self

    def at(self, share: float) -> int:
        """The value that this share of all does not exceed; 0 where there is none."""
        wanted, seen = share * self.total, 0
        for value in sorted(self.counts):
            seen += self.counts[value]
            if seen >= wanted:
                return min(value, self.longest)
        return self.longest

    def spectrum(self) -> list[tuple[float, int]]:
        """Shares and the values that they do not exceed, from the smallest on."""
        found, seen, total = [], 0, self.total
        for value in sorted(self.counts):
            seen += self.counts[value]
            found.append((seen / total, min(value, self.longest)))
        return found
