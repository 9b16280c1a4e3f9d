"""One tenant's numbers: how they are asked for in one script, and what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sojourn.codec import datetime_from
from sojourn.counts import (
    CACHE,
    CACHE_COUNTS,
    DURATION_BOUNDS_S,
    LAG_BOUNDS_S,
    OTHER,
    Calls,
    Histogram,
    Label,
    Stats,
    read_calls,
    read_stats,
    readable,
)
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Operation, call, is_of_another_type, pairs, raise_for

__all__ = [
    "Counted",
    "LabelCounts",
    "Sweeps",
    "TenantMetrics",
    "count_tenant",
    "read_sweeps",
    "read_tenant",
    "tenant_metrics",
]

_MOST: Final = 4_096
"""Fields of a hash, and kinds, that are read: more than that no client of ours makes."""
_SAMPLED: Final = 2
_OF_KIND: Final = 5
_MB: Final = 2**20


@dataclass(frozen=True)
class LabelCounts:
    """The numbers of a tenant's sessions of one kind and one type of client; `OTHER` stands for all further ones."""

    kind: str
    client_type: str
    """"" for sessions without one."""
    active: int
    created: int
    ended: Mapping[str, int]
    """By status."""
    durations: Histogram
    """How long the ended ones lived."""


@dataclass(frozen=True)
class TenantMetrics:
    """How one tenant's sessions are doing.

    All that is counted is so since the tenant's first session, or since this Redis was laid out, if that was later:
    what comes back from the archive is no new session. Deleting a tenant deletes its counts; moving it keeps them.

    Example:
        >>> found = store.metrics()  # doctest: +SKIP
        >>> found.active_sessions, found.average_session_duration  # doctest: +SKIP
        (3, datetime.timedelta(seconds=840))
    """

    tenant: str
    active_sessions: int = 0
    """Live sessions; with those past their deadline that are still to be claimed."""
    expired_sessions: int = 0
    """Those of them past their deadline, awaiting cleanup. Exact where the tenant has a partition of its own, or up to
    200 wait in the one that it shares; beyond that its part of the first 200 stands for its part of all."""
    created_sessions: int = 0
    ended_sessions: Mapping[str, int] = field(default_factory=dict)
    """By status; each end once, so one that is deleted after it was completed counts as completed."""
    lost_payloads: int = 0
    """Sessions whose record was gone: evicted, or deleted by other hands."""
    damaged_records: int = 0
    """Sessions whose record could not be read at their deadline."""
    durations: Histogram = field(default_factory=lambda: Histogram.empty(DURATION_BOUNDS_S))
    """How long the ended ones lived, from creation to end."""
    expiry_lag: Histogram = field(default_factory=lambda: Histogram.empty(LAG_BOUNDS_S))
    """How long after its deadline each expired one was claimed."""
    claims: Mapping[str, int] = field(default_factory=dict)
    """Expired ones by who claimed them: ``notification``, ``sweep``, ``create`` or ``call``."""
    cleanup_runs: int = 0
    """Sweeps that found something to do in the tenant's partition, and cleanups that its clients ran."""
    cleanup_failures: int = 0
    last_cleanup_time: datetime | None = None
    """When the last of those ended."""
    memory_bytes: int = 0
    """What the records and logs of its sessions take in Redis: an estimate, from a few of each kind and status."""
    record_bytes: int | None = None
    """The bytes of live sessions' fields and entries, exact; None for a tenant without a limit on live sessions."""
    sessions: int = 0
    """All that Redis has of it, the ended ones too."""
    labels: tuple[LabelCounts, ...] = ()
    """The same by kind and client type. Which type a lost session had is not known any more: it is taken off the
    largest of its kind."""
    calls: Mapping[str, Calls] = field(default_factory=dict)
    """Calls by operation, of clients that tell of them."""
    cache: Mapping[str, int] = field(default_factory=dict)
    """What near caches of those clients did: ``hits``, ``misses``, ``invalidations``, ``evictions``, ``flushes``."""

    @property
    def average_session_duration(self) -> timedelta | None:
        """How long ended sessions lived; None where none has ended."""
        return self.durations.average

    @property
    def memory_usage_mb(self) -> float:
        """`memory_bytes` in MB of 2**20 bytes."""
        return self.memory_bytes / _MB

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        average, last = self.average_session_duration, self.last_cleanup_time
        return {
            "tenant": self.tenant,
            "active_sessions": self.active_sessions,
            "expired_sessions": self.expired_sessions,
            "created_sessions": self.created_sessions,
            "ended_sessions": dict(self.ended_sessions),
            "lost_payloads": self.lost_payloads,
            "damaged_records": self.damaged_records,
            "average_session_duration_s": None if average is None else average.total_seconds(),
            "durations": _histogram_json(self.durations),
            "expiry_lag": _histogram_json(self.expiry_lag),
            "claims": dict(self.claims),
            "cleanup_runs": self.cleanup_runs,
            "cleanup_failures": self.cleanup_failures,
            "last_cleanup_time": None if last is None else last.isoformat(),
            "memory_usage_mb": self.memory_usage_mb,
            "memory_bytes": self.memory_bytes,
            "record_bytes": self.record_bytes,
            "sessions": self.sessions,
            "labels": [
                {
                    "kind": each.kind,
                    "client_type": each.client_type,
                    "active": each.active,
                    "created": each.created,
                    "ended": dict(each.ended),
                }
                for each in self.labels
            ],
            "calls": {
                name: {"results": dict(each.results), "durations": _histogram_json(each.durations)}
                for name, each in self.calls.items()
            },
            "cache": dict(self.cache),
        }


def _histogram_json(histogram: Histogram) -> dict[str, Any]:
    buckets = [{"le_s": None if bound == float("inf") else bound, "count": n} for bound, n in histogram.cumulative]
    return {"count": histogram.count, "sum_s": histogram.sum_s, "buckets": buckets}


@dataclass
class Counted:
    """What is counted of a tenant in one place, or in several together."""

    stats: Stats = field(default_factory=Stats)
    calls: dict[str, Calls] = field(default_factory=dict)
    live: Counter[str] = field(default_factory=Counter)
    """Live sessions by kind, from the indexes."""
    sessions: int = 0
    memory_bytes: float = 0.0
    record_bytes: int | None = None
    overdue: int = 0
    clock_ms: int = 0
    odd_keys: list[str] = field(default_factory=list)

    def add(self, other: Counted) -> None:
        """Add another's numbers."""
        self.stats.add(other.stats)
        for name, own in other.calls.items():
            self.calls[name] = self.calls[name].plus(own) if name in self.calls else own
        self.live.update(other.live)
        self.sessions += other.sessions
        self.memory_bytes += other.memory_bytes
        if other.record_bytes is not None:
            self.record_bytes = (self.record_bytes or 0) + other.record_bytes
        self.overdue += other.overdue
        self.clock_ms = max(self.clock_ms, other.clock_ms)
        self.odd_keys += other.odd_keys


def count_tenant(keys: TenantKeys) -> Operation[Counted]:
    """All that is counted of a tenant in one place, at one moment."""

    def parse(reply: Any) -> Counted:
        raise_for(reply, "-", keys.tenant)
        stats, calls, kinds, kept, overdue, clock_ms, odd = reply
        found = Counted(read_stats(pairs(stats)), read_calls(pairs(calls)), overdue=overdue, clock_ms=clock_ms)
        for kind, live, count, sampled_bytes, sampled in zip(*(iter(kinds),) * _OF_KIND, strict=True):
            found.live[readable(kind)] += live
            found.sessions += count
            found.memory_bytes += count * sampled_bytes / sampled if sampled else 0
        found.record_bytes = int(kept) if kept is not None and str(kept).isdecimal() else None
        found.odd_keys = list(odd)
        return found

    return call("count_tenant", [keys.stats], (keys.partition.prefix, keys.tenant, _MOST, _SAMPLED), parse)


def read_tenant(keys: TenantKeys) -> Operation[TenantMetrics]:
    """A tenant's numbers, in one round trip; all of its keys are in that place."""
    counted, sweeps = count_tenant(keys), read_sweeps(keys.partition)

    def parse(replies: list[Any]) -> TenantMetrics:
        return tenant_metrics(keys.tenant, counted.parse(replies[-1:]), sweeps.parse(replies[:-1]))

    return Operation((*sweeps.commands, *counted.commands), parse, counted.source)


@dataclass(frozen=True)
class Sweeps:
    """How the sweeps of partitions went."""

    runs: int = 0
    failures: int = 0
    last_ms: int = 0
    recent_runs: int = 0
    """Within the last 10 to 20 minutes."""
    recent_failures: int = 0
    is_odd: bool = False
    """Whether the key is of another type."""

    def plus(self, other: Sweeps) -> Sweeps:
        """Of both together."""
        return Sweeps(
            self.runs + other.runs, self.failures + other.failures, max(self.last_ms, other.last_ms),
            self.recent_runs + other.recent_runs, self.recent_failures + other.recent_failures,
        )  # fmt: skip


_WINDOW_MS: Final = 600_000
_WINDOWS: Final = 3
"""As in ``lua/include/sweeps.lua``."""


def read_sweeps(partition: PartitionKeys, now_ms: int | None = None) -> Operation[Sweeps]:
    """How the sweeps of a partition went; the recent ones where the clock is told."""

    def parse(replies: list[Any]) -> Sweeps:
        if is_of_another_type(replies[0]):
            return Sweeps(is_odd=True)
        raise_for(replies[0], "-", "-")
        texts = pairs(replies[0])

        def number(name: str) -> int:
            text = texts.get(name, "")
            return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0

        recent_runs = recent_failures = 0
        for slot in range(_WINDOWS if now_ms is not None else 0):
            if number(f"window:{slot}") >= (now_ms or 0) // _WINDOW_MS - 1:
                recent_runs += number(f"runs:{slot}")
                recent_failures += number(f"failures:{slot}")
        return Sweeps(number("runs"), number("failures"), number("last_ms"), recent_runs, recent_failures)

    return Operation((("HGETALL", partition.sweeps),), parse)


def tenant_metrics(tenant: str, counted: Counted, sweeps: Sweeps | None = None) -> TenantMetrics:
    """What was counted, as it is told."""
    stats, sweeps = counted.stats, sweeps or Sweeps()
    active, ends = _active(stats, counted.live), stats.ended_by
    labels = []
    for label in sorted(stats.labels | active.keys()):
        ended = {status: number for (whose, status), number in ends.items() if whose == label}
        labels.append(LabelCounts(*label, active.get(label, 0), stats.created[label], ended, stats.durations([label])))
    by_status: Counter[str] = Counter()
    for (_, status), number in ends.items():
        by_status[status] += number
    claims: Counter[str] = Counter()
    for (by, _), number in stats.claimed.items():
        claims[by] += number
    last_ms = max(sweeps.last_ms, stats.last_cleanup_ms)
    cached = counted.calls.get(CACHE)
    return TenantMetrics(
        tenant=tenant,
        active_sessions=sum(counted.live.values()),
        expired_sessions=counted.overdue,
        created_sessions=sum(stats.created.values()),
        ended_sessions=dict(by_status),
        lost_payloads=stats.plain["lost"],
        damaged_records=stats.plain["damaged"],
        durations=stats.durations(stats.labels),
        expiry_lag=stats.lag,
        claims=dict(claims),
        cleanup_runs=sweeps.runs + stats.plain["cleanup|runs"],
        cleanup_failures=sweeps.failures + stats.plain["cleanup|failures"],
        last_cleanup_time=datetime_from(last_ms) if last_ms else None,
        memory_bytes=round(counted.memory_bytes),
        record_bytes=counted.record_bytes,
        sessions=counted.sessions,
        labels=tuple(labels),
        calls={name: each for name, each in counted.calls.items() if name != CACHE},
        cache={name: cached.results.get(name, 0) for name in CACHE_COUNTS} if cached else {},
    )


def _active(stats: Stats, live: Mapping[str, int]) -> dict[Label, int]:
    """Live sessions by label.

    The indexes say exactly how many there are of each kind. What the counts do not know, such as sessions of before
    there were any, has no client type; what they know too much, of lost ones, is taken off the largest.
    """
    found = {label: max(number, 0) for label, number in stats.balance.items()}
    if (OTHER, OTHER) in found:  # some kinds are told apart no more
        return found
    for kind in {*live, *(kind for kind, _ in found)}:
        own = {label: number for label, number in found.items() if label[0] == kind}
        surplus = sum(own.values()) - live.get(kind, 0)
        if surplus < 0:
            found[kind, ""] = found.get((kind, ""), 0) - surplus
        for label in sorted(own, key=lambda each: -own[each]) if surplus > 0 else ():
            taken = min(surplus, own[label])
            found[label] -= taken
            surplus -= taken
    return found
