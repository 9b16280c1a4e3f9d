"""From what Redis counts to what is told: rates between two looks, and rows by tenant or kind. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from sojourn.counts import Histogram
from sojourn.metrics import HookRuns, Metrics, TenantMetrics

__all__ = ["Group", "HookRow", "Row", "Sample", "Summary", "hook_rows", "rows", "summary"]

Group = Literal["tenant", "kind"]
_FAILED: Final = ("failed", "died")


@dataclass(frozen=True)
class Sample:
    """What was read at one moment."""

    at_s: float
    """By Redis's clock, in seconds since the epoch."""
    metrics: Metrics
    live: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    """Live sessions by status, of each tenant and kind."""


@dataclass(frozen=True)
class Row:
    """One tenant's sessions, or those of one kind. None: not known."""

    name: str
    live: int
    pending: int
    in_progress: int
    overdue: int | None
    """Past their deadline, awaiting cleanup."""
    completed: int
    failed: int
    terminated: int
    expired: int
    deleted: int
    created_per_s: float | None
    ended_per_s: float | None
    memory_bytes: int | None


@dataclass(frozen=True)
class HookRow:
    """What a hook did since the look before; its durations, too, where it ran at all, else since it is counted."""

    name: str
    runs_per_s: float | None
    failed: int
    """Since it is counted."""
    average_s: float | None
    p95_s: float | None
    dead_letters: int


@dataclass(frozen=True)
class Summary:
    """The deployment as a whole."""

    live: int
    overdue: int
    created_per_s: float | None
    ended_per_s: float | None
    expiry_lag_s: float | None
    """How long after its deadline a session was claimed: the average since the look before, or of all."""
    expiry_lag_p99_s: float | None
    dirty: int
    archive_lag_s: float
    outbox: int
    slowest_group: str | None
    group_lag_s: float
    queues: Mapping[str, int]
    workers: Mapping[str, int]
    queues_answer: bool
    dead_letters: int
    lost: int
    redis_memory_bytes: int | None
    redis_memory_limit_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass
class _Sum:
    """Numbers of several labels or tenants together."""

    live: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    created: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    overdue: int | None = None
    memory_bytes: int | None = None


def _sums(sample: Sample | None, group: Group) -> dict[str, _Sum]:
    found: dict[str, _Sum] = {}
    if sample is None:
        return found
    for tenant, each in sample.metrics.tenants.items():
        if group == "tenant":
            own = found.setdefault(tenant, _Sum(overdue=0, memory_bytes=0))
            own.live, own.created = each.active_sessions, each.created_sessions
            own.ended.update(each.ended_sessions)
            own.overdue, own.memory_bytes = each.expired_sessions, each.memory_bytes
        else:
            for label in each.labels:
                of_kind = found.setdefault(label.kind, _Sum())
                of_kind.live += label.active
                of_kind.created += label.created
                of_kind.ended.update(label.ended)
    for (tenant, kind), statuses in sample.live.items():
        of = found.get(tenant if group == "tenant" else kind)
        if of is not None:
            of.statuses.update(statuses)
    return found


def rows(before: Sample | None, now: Sample, group: Group = "tenant") -> list[Row]:
    """A row for each tenant or kind. `before`: the look before, without which there are no rates."""
    then = _sums(before, group)
    apart_s = None if before is None else now.at_s - before.at_s
    return [_row(name, then.get(name, _Sum()), each, apart_s) for name, each in _sums(now, group).items()]


def _row(name: str, then: _Sum, now: _Sum, apart_s: float | None) -> Row:
    progress = now.statuses["in_progress"]
    return Row(
        name=name, live=now.live, pending=max(0, now.live - progress), in_progress=progress, overdue=now.overdue,
        completed=now.ended["completed"], failed=now.ended["failed"], terminated=now.ended["terminated"],
        expired=now.ended["expired"], deleted=now.ended["deleted"],
        created_per_s=_rate(then.created, now.created, apart_s),
        ended_per_s=_rate(then.ended.total(), now.ended.total(), apart_s), memory_bytes=now.memory_bytes,
    )  # fmt: skip


def _rate(then: float, now: float, apart_s: float | None) -> float | None:
    """How much more it is in a second; a count that fell, as of a tenant that was deleted, has begun anew."""
    if apart_s is None or apart_s <= 0:
        return None
    return max(0.0, now - then) / apart_s


def _sum_rates(each: Iterable[float | None]) -> float | None:
    known = [rate for rate in each if rate is not None]
    return sum(known) if known else None


def since(then: Histogram | None, now: Histogram) -> Histogram:
    """What came to a histogram; all of it where nothing did, or it began anew."""
    if then is None or then.bounds_s != now.bounds_s:
        return now
    counts = tuple(b - a for a, b in zip(then.counts, now.counts, strict=True))
    if min(counts) < 0 or not any(counts):
        return now
    return Histogram(now.bounds_s, counts, max(0.0, now.sum_s - then.sum_s))


def quantile(histogram: Histogram, share: float) -> float | None:
    """The bound of the bucket in which that share of all is reached: at most so long. None without any.

    Example:
        >>> quantile(Histogram((0.1, 1.0), (98, 2, 0), 9.0), 0.99)
        1.0
    """
    if not histogram.count:
        return None
    return next(bound for bound, total in histogram.cumulative if total >= share * histogram.count)


def _average_s(histogram: Histogram) -> float | None:
    return histogram.sum_s / histogram.count if histogram.count else None


def hook_rows(before: Sample | None, now: Sample) -> list[HookRow]:
    """A row for each hook, the slowest first."""
    apart_s = None if before is None else now.at_s - before.at_s
    dead = now.metrics.dead_letters
    found = [
        _hook_row(name, None if before is None else before.metrics.hooks.get(name), runs, apart_s, dead.get(name, 0))
        for name, runs in now.metrics.hooks.items()
    ]
    unseen = [HookRow(name, None, 0, None, None, n) for name, n in dead.items() if n and name not in now.metrics.hooks]
    return sorted([*found, *unseen], key=lambda each: -(each.average_s or 0.0))


def _hook_row(name: str, then: HookRuns | None, now: HookRuns, apart_s: float | None, dead: int) -> HookRow:
    durations = since(None if then is None else then.durations, now.durations)
    total = sum(now.results.values())
    return HookRow(
        name=name, runs_per_s=_rate(sum(then.results.values()) if then else 0, total, apart_s),
        failed=sum(now.results.get(each, 0) for each in _FAILED), average_s=_average_s(durations),
        p95_s=quantile(durations, 0.95), dead_letters=dead,
    )  # fmt: skip


def _lag(sample: Sample | None) -> Histogram | None:
    total: Histogram | None = None
    for each in () if sample is None else sample.metrics.tenants.values():
        total = each.expiry_lag if total is None else total.plus(each.expiry_lag)
    return total


def summary(before: Sample | None, now: Sample) -> Summary:
    """The deployment as a whole."""
    found, each = now.metrics, rows(before, now)
    lag = _lag(now)
    recent = None if lag is None else since(_lag(before), lag)
    slowest = found.slowest_group
    tenants: Iterable[TenantMetrics] = found.tenants.values()
    return Summary(
        live=sum(row.live for row in each), overdue=sum(row.overdue or 0 for row in each),
        created_per_s=_sum_rates(row.created_per_s for row in each),
        ended_per_s=_sum_rates(row.ended_per_s for row in each),
        expiry_lag_s=None if recent is None else _average_s(recent),
        expiry_lag_p99_s=None if recent is None else quantile(recent, 0.99),
        dirty=found.dirty, archive_lag_s=found.dirty_age_s, outbox=sum(found.outbox.values()), slowest_group=slowest,
        group_lag_s=found.groups[slowest].lag_s if slowest else 0.0, queues=dict(found.waiting),
        workers=dict(found.workers), queues_answer=found.queue is not None,
        dead_letters=sum(found.dead_letters.values()), lost=sum(tenant.lost_payloads for tenant in tenants),
        redis_memory_bytes=found.redis_memory_bytes, redis_memory_limit_bytes=found.redis_memory_limit_bytes,
    )  # fmt: skip
