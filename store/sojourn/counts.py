"""What Redis counts of a tenant: the fields of the two hashes that scripts and clients write, and what they say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Self

from sojourn.models import Status

__all__ = [
    "CACHE",
    "CACHE_COUNTS",
    "CALL_BOUNDS_US",
    "CLAIMED_BY",
    "DURATION_BOUNDS_S",
    "LAG_BOUNDS_S",
    "OTHER",
    "Calls",
    "Histogram",
    "Stats",
    "read_calls",
    "read_stats",
    "readable",
]

OTHER: Final = "other"
"""Stands for all that is not told apart; see ``lua/include/tally.lua``."""
DURATION_BOUNDS_S: Final = tuple(60.0 * 2**n for n in range(10))
"""Upper bounds of the buckets in which sessions are counted by how long they lived: 1 minute to 8.5 hours."""
LAG_BOUNDS_S: Final = tuple(0.01 * 2**n for n in range(15))
"""The same for how late an expiry was claimed: 10 ms to 2.7 minutes."""
CALL_BOUNDS_US: Final = tuple(100 * 2**n for n in range(15))
"""The same for calls, in microseconds: 100 us to 1.6 s."""
CLAIMED_BY: Final = ("notification", "sweep", "create", "call")
"""Who claims: a worker that hears of the lease, one that looks at the deadlines, another write on its way, a call."""
CACHE: Final = "cache"
"""Stands among the operations for near caches."""
CACHE_COUNTS: Final = ("hits", "misses", "invalidations", "evictions", "flushes")
"""What is counted of them, instead of results."""
_LONGEST: Final = 15
"""Digits of a count; more is none of ours."""
_CALL: Final = re.compile(r"([a-z][a-z0-9_.]{0,47})\|(?:le\|(\d{1,9}|inf)|(sum_us)|([a-z][a-zA-Z0-9_]{0,47}))")
_MOST_OPERATIONS: Final = 100
Label = tuple[str, str]
"""Kind and client type."""


@dataclass(frozen=True)
class Histogram:
    """How many took how long.

    Example:
        >>> Histogram((1.0, 2.0), (3, 1, 0), 4.5).cumulative
        ((1.0, 3), (2.0, 4), (inf, 4))
    """

    bounds_s: tuple[float, ...]
    """Upper bounds of the buckets, in seconds, each included; the last bucket has none."""
    counts: tuple[int, ...]
    """How many are in each bucket, and in no smaller one."""
    sum_s: float = 0.0
    """All of them together, in seconds."""

    @classmethod
    def empty(cls, bounds_s: Sequence[float]) -> Self:
        """Of nothing."""
        return cls(tuple(bounds_s), (0,) * (len(bounds_s) + 1))

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts)

    @property
    def average(self) -> timedelta | None:
        """None without any."""
        return timedelta(seconds=self.sum_s / self.count) if self.count else None

    @property
    def cumulative(self) -> tuple[tuple[float, int], ...]:
        """Each bound, and how many took at most that."""
        total, found = 0, []
        for bound, number in zip((*self.bounds_s, float("inf")), self.counts, strict=True):
            total += number
            found.append((bound, total))
        return tuple(found)

    def plus(self, other: Histogram) -> Histogram:
        """Of both together."""
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(self.bounds_s, counts, self.sum_s + other.sum_s)


@dataclass
class Stats:
    """What the scripts counted; of one place of a tenant, or of several together."""

    created: Counter[Label] = field(default_factory=Counter)
    ended: Counter[tuple[Label, str, int]] = field(default_factory=Counter)
    """By label, status, and bucket of the duration."""
    took_ms: Counter[Label] = field(default_factory=Counter)
    shift: Counter[Label] = field(default_factory=Counter)
    claimed: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By who claimed, and bucket of the lag."""
    plain: Counter[str] = field(default_factory=Counter)
    """``lost``, ``damaged``, ``lag_ms``, ``cleanup|runs``, ``cleanup|failures``."""
    last_cleanup_ms: int = 0

    def add(self, other: Stats) -> None:
        """Add another's numbers."""
        self.created.update(other.created)
        self.ended.update(other.ended)
        self.took_ms.update(other.took_ms)
        self.shift.update(other.shift)
        self.claimed.update(other.claimed)
        self.plain.update(other.plain)
        self.last_cleanup_ms = max(self.last_cleanup_ms, other.last_cleanup_ms)

    def within(self, known: AbstractSet[Label]) -> Stats:
        """The same with all other labels made one."""
        found = Stats(claimed=self.claimed, plain=self.plain, last_cleanup_ms=self.last_cleanup_ms)
        for own, into in ((self.created, found.created), (self.took_ms, found.took_ms), (self.shift, found.shift)):
            for label, number in own.items():
                into[label if label in known else (OTHER, OTHER)] += number
        for (label, status, bucket), number in self.ended.items():
            found.ended[label if label in known else (OTHER, OTHER), status, bucket] += number
        return found

    @property
    def labels(self) -> set[Label]:
        """All labels."""
        return {*self.created, *self.shift, *(label for label, _, _ in self.ended)}

    @property
    def ended_by(self) -> Counter[tuple[Label, str]]:
        """Ends by label and status."""
        found: Counter[tuple[Label, str]] = Counter()
        for (label, status, _), number in self.ended.items():
            found[label, status] += number
        return found

    @property
    def balance(self) -> Counter[Label]:
        """Live sessions by label, as far as the counts tell: those that came less those that went."""
        found: Counter[Label] = Counter(self.created)
        found.update(self.shift)
        for (label, _, _), number in self.ended.items():
            found[label] -= number
        return found

    def durations(self, labels: Iterable[Label]) -> Histogram:
        """How long the ended sessions of these labels lived."""
        wanted, counts = set(labels), [0] * (len(DURATION_BOUNDS_S) + 1)
        for (label, _, bucket), number in self.ended.items():
            if label in wanted:
                counts[bucket] += number
        return Histogram(DURATION_BOUNDS_S, tuple(counts), sum(self.took_ms[each] for each in wanted) / 1000)

    @property
    def lag(self) -> Histogram:
        """How late expiries were claimed."""
        counts = [0] * (len(LAG_BOUNDS_S) + 1)
        for (_, bucket), number in self.claimed.items():
            counts[bucket] += number
        return Histogram(LAG_BOUNDS_S, tuple(counts), self.plain["lag_ms"] / 1000)


def read_stats(fields: Mapping[str, str]) -> Stats:
    """What the hash of a tenant's counts says; fields of other hands are passed over.

    Example:
        >>> read_stats({"created|session|web": "3", "x": "y"}).created
        Counter({('session', 'web'): 3})
    """
    stats = Stats()
    for raw, text in fields.items():
        number, name = _integer(text), readable(raw)
        what, _, rest = name.partition("|")
        if number is not None:
            _note(stats, what, rest, name, number)
    return stats


def _note(stats: Stats, what: str, rest: str, name: str, number: int) -> None:
    by_label = {"created": stats.created, "took_ms": stats.took_ms, "shift": stats.shift}.get(what)
    if by_label is not None:
        kind, found, client_type = rest.partition("|")
        if kind and found:
            by_label[kind, client_type] += number
    elif what == "ended":
        status, bucket, kind, client_type = (*rest.split("|", 3), "", "", "", "")[:4]
        if kind and status in _STATUSES and _is_bucket(bucket, DURATION_BOUNDS_S):
            stats.ended[(kind, client_type), status, int(bucket)] += number
    elif what == "claimed":
        by, _, bucket = rest.partition("|")
        if by in CLAIMED_BY and _is_bucket(bucket, LAG_BOUNDS_S):
            stats.claimed[by, int(bucket)] += number
    elif name == "cleanup|last_ms":
        stats.last_cleanup_ms = max(number, 0)
    elif name in _PLAIN:
        stats.plain[name] += number


_STATUSES: Final = frozenset(map(str, Status))
_PLAIN: Final = ("lost", "damaged", "lag_ms", "cleanup|runs", "cleanup|failures")


def readable(name: str) -> str:
    r"""A name that may have come as bytes that are no text, as text that can be written.

    Example:
        >>> print(readable("web"), readable(b"\xff".decode(errors="surrogateescape")))
        web \xff
    """
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST else None


def _is_bucket(text: str, bounds: Sequence[float]) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 2 and int(text) <= len(bounds)


@dataclass(frozen=True)
class Calls:
    """Calls of one operation, as far as clients tell of them."""

    results: Mapping[str, int]
    """How many came out how: ``ok``, or what went wrong."""
    durations: Histogram

    def plus(self, other: Calls) -> Calls:
        """Of both together."""
        return Calls(Counter(self.results) + Counter(other.results), self.durations.plus(other.durations))


def read_calls(fields: Mapping[str, str]) -> dict[str, Calls]:
    """What the hash of clients' calls says, by operation; fields of other hands are passed over.

    Example:
        >>> read_calls({"get|ok": "2", "get|le|100": "2", "get|sum_us": "90"})["get"].durations.count
        2
    """
    results: dict[str, dict[str, int]] = {}
    counts: dict[str, list[int]] = {}
    sums_us: Counter[str] = Counter()
    for name, text in fields.items():
        found, number = _CALL.fullmatch(name), _integer(text)
        if found is None or number is None or (found[1] not in results and len(results) >= _MOST_OPERATIONS):
            continue
        own = results.setdefault(found[1], {})
        buckets = counts.setdefault(found[1], [0] * (len(CALL_BOUNDS_US) + 1))
        if found[2] is not None:
            bound = len(CALL_BOUNDS_US) if found[2] == "inf" else _bucket(int(found[2]))
            if bound is not None:
                buckets[bound] += number
        elif found[3] is not None:
            sums_us[found[1]] += number
        else:
            own[found[4]] = number
    bounds_s = tuple(each / 1e6 for each in CALL_BOUNDS_US)
    return {
        name: Calls(own, Histogram(bounds_s, tuple(counts[name]), sums_us[name] / 1e6)) for name, own in results.items()
    }


def _bucket(bound_us: int) -> int | None:
    return CALL_BOUNDS_US.index(bound_us) if bound_us in CALL_BOUNDS_US else None
