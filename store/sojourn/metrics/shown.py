"""Which tenants are told apart in metrics: those that are named, or the largest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sojourn.counts import OTHER

__all__ = ["Choice"]

_OUTGROWN: Final = 2
"""One that is told apart gives way to one that is so many times as large."""


@dataclass
class Choice:
    """Remembers which tenants are told apart, so that they do not change places with each look.

    A tenant that leaves the rest takes its counts along, which Prometheus takes for a restart of the rest's counters:
    so that shall be rare.

    Example:
        >>> Choice(1).of({"acme": 5, "beta": 9})
        ('beta',)
    """

    wanted: int | tuple[str, ...] = 20
    """How many, or which ones."""
    _shown: list[str] = field(default_factory=list)

    def of(self, sizes: Mapping[str, int]) -> tuple[str, ...]:
        """The tenants to tell apart, of those that there are, by how many sessions each has had."""
        if not isinstance(self.wanted, int):
            return tuple(sorted({each for each in self.wanted if each in sizes and each != OTHER}))
        shown = [each for each in self._shown if each in sizes]
        rest = sorted((each for each in sizes if each not in shown and each != OTHER), key=lambda each: -sizes[each])
        for each in rest:
            smallest = min(shown, key=lambda name: sizes[name], default=None)
            if len(shown) < self.wanted:
                shown.append(each)
            elif smallest is not None and sizes[each] > _OUTGROWN * sizes[smallest]:
                shown[shown.index(smallest)] = each
            else:
                break
        self._shown = shown
        return tuple(sorted(shown))
