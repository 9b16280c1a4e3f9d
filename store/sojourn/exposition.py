"""Metrics in the text formats that Prometheus scrapes; ``docs/reference/metrics.md`` lists them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sojourn.counts import Calls, Histogram
from sojourn.errors import SojournError
from sojourn.metrics import Metrics, TenantMetrics

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
except ImportError as error:
    raise SojournError(f"metrics for Prometheus need {error.name}: pip install 'sojourn[worker]'") from None

__all__ = ["encoded", "exposition"]

_STATES: Final = ("healthy", "degraded", "unhealthy")
_COUNTS: Final = {
    "lost": ("sojourn_lost_payloads", "Sessions whose record was gone: evicted, or deleted by other hands"),
    "damaged": ("sojourn_damaged_records", "Sessions past their deadline whose record could not be read"),
    "stale": ("sojourn_archive_stale_sessions", "Sessions of which Redis held an older state than the archive"),
    "restored": ("sojourn_archive_restored_partitions", "Partitions found restored from an older copy of Redis"),
    "dead_letters": ("sojourn_dead_lettered_events", "Events that a hook was given up on"),
}
_QUEUE: Final = {
    "refused_jobs": ("sojourn_jobs_refused", "Jobs that named what may not run"),
    "set_aside_jobs": ("sojourn_jobs_set_aside", "Foreign or corrupt jobs in the scheduler's set"),
    "unreadable_jobs": ("sojourn_jobs_unreadable", "Jobs that could not be read"),
    "lost_workers": ("sojourn_workers_lost", "Jobs whose worker died"),
}
_LABELS: Final = ("client_type", "kind", "tenant")


def exposition(metrics: Metrics, state: str | None = None) -> str:
    """The metrics as text.

    Args:
        metrics: the metrics.
        state: the deployment's health, if that was looked at.

    Example:
        >>> "sojourn_dirty_sessions 3.0" in exposition(Metrics(dirty=3))
        True
    """
    return generate_latest(_registry(metrics, state)).decode()


def encoded(metrics: Metrics | None, state: str | None, accept: str) -> tuple[bytes, str]:
    """The same in the format that a scraper accepts, and the name of that format.

    Args:
        metrics: the metrics; None where they cannot be read.
        state: the deployment's health, if that was looked at.
        accept: the header of the request.

    Example:
        >>> encoded(Metrics(), None, "application/openmetrics-text")[1].partition(";")[0]
        'application/openmetrics-text'
    """
    encoder, content_type = choose_encoder(accept)
    return encoder(_registry(metrics, state)), content_type


def _registry(metrics: Metrics | None, state: str | None) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Found(metrics, state))
    return registry


class _Found:
    def __init__(self, metrics: Metrics | None, state: str | None) -> None:
        self._metrics = metrics
        self._state = state

    def collect(self) -> Iterator[Metric]:
        if self._metrics is not None:
            yield from _sessions(self._metrics.tenants.values())
            for part in (_cleanup, _operations, _caches, _hooks, _archive, _outboxes, _queues, _redis):
                yield from part(self._metrics)
        if self._state is not None:
            states = {each: float(each == self._state) for each in _STATES}
            yield _by("sojourn_health_state", "Whether the deployment is in this state", "state", states)


def _sessions(tenants: Iterable[TenantMetrics]) -> Iterator[Metric]:
    created = CounterMetricFamily("sojourn_sessions_created", "Sessions that were created", labels=_LABELS)
    ended = CounterMetricFamily("sojourn_sessions_ended", "Sessions that ended, each once", labels=(*_LABELS, "status"))
    active = GaugeMetricFamily("sojourn_sessions_active", "Live sessions", labels=_LABELS)
    expired = GaugeMetricFamily(
        "sojourn_sessions_expired", "Live sessions past their deadline, awaiting cleanup", labels=["tenant"]
    )
    memory = GaugeMetricFamily(
        "sojourn_memory_bytes", "What sessions' records and logs take in Redis; an estimate", labels=["tenant"]
    )
    durations: dict[tuple[str, str], Histogram] = {}
    lag: Histogram | None = None
    claims: Counter[str] = Counter({"notification": 0, "sweep": 0})
    for tenant in tenants:
        for each in tenant.labels:
            label = (each.client_type, each.kind, tenant.tenant)
            created.add_metric(label, each.created)
            active.add_metric(label, each.active)
            for status, number in each.ended.items():
                ended.add_metric((*label, status), number)
            known = durations.get(label[:2])
            durations[label[:2]] = each.durations if known is None else known.plus(each.durations)
        expired.add_metric([tenant.tenant], tenant.expired_sessions)
        memory.add_metric([tenant.tenant], tenant.memory_bytes)
        lag = tenant.expiry_lag if lag is None else lag.plus(tenant.expiry_lag)
        claims.update(tenant.claims)
    yield from (created, ended, active, expired, memory)
    yield _histograms(
        "sojourn_session_duration_seconds", "How long ended sessions lived", _LABELS[:2], durations.items()
    )
    lag = TenantMetrics("").expiry_lag if lag is None else lag
    yield _histograms("sojourn_expiry_lag_seconds", "From a deadline to its claim", (), [((), lag)])
    yield _by("sojourn_claims", "Expiries by how they were noticed", "by", claims, counts=True)


def _cleanup(found: Metrics) -> Iterator[Metric]:
    tenants = found.tenants.values()
    runs = found.sweeps.runs + sum(each.cleanup_runs for each in tenants)
    failures = found.sweeps.failures + sum(each.cleanup_failures for each in tenants)
    yield CounterMetricFamily(
        "sojourn_cleanup_runs", "Sweeps that found something to do, and clients' cleanups", value=runs
    )
    yield CounterMetricFamily("sojourn_cleanup_failures", "Sweeps and cleanups that failed", value=failures)
    last = [each.last_cleanup_time.timestamp() for each in tenants if each.last_cleanup_time is not None]
    last += [each for each in (found.swept_at_s, found.sweeps.last_ms / 1000) if each]
    yield _since(
        "sojourn_cleanup_last_run_timestamp_seconds", "When sessions were last cleaned up", max(last, default=0)
    )
    seen = found.scheduled_at_s or 0
    yield _since("sojourn_scheduler_last_seen_timestamp_seconds", "When a scheduler last told that it is there", seen)


def _since(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, f"{told}, in seconds since the epoch; 0: never", value=value)


def _operations(found: Metrics) -> Iterator[Metric]:
    total = CounterMetricFamily(
        "sojourn_operations", "Calls of clients that tell of them", labels=("operation", "result")
    )
    calls: dict[str, Calls] = {}
    for tenant in found.tenants.values():
        for name, own in tenant.calls.items():
            calls[name] = calls[name].plus(own) if name in calls else own
    for name, own in sorted(calls.items()):
        for result, number in sorted(own.results.items()):
            total.add_metric((name, result), number)
    yield total
    each = [((name,), own.durations) for name, own in sorted(calls.items())]
    yield _histograms("sojourn_operation_duration_seconds", "How long those calls took", ("operation",), each)


def _caches(found: Metrics) -> Iterator[Metric]:
    counts: Counter[str] = Counter()
    for tenant in found.tenants.values():
        counts.update(tenant.cache)
    told = "Reads of clients that have near caches, and tell of them"
    reads = {"hit": counts["hits"], "miss": counts["misses"]}
    yield _by("sojourn_cache_reads", told, "result", reads, counts=True)
    for name, told in (
        ("invalidations", "Changes of records that Redis told near caches"),
        ("evictions", "Sessions that left a near cache since there was no more room"),
        ("flushes", "How often a near cache was emptied"),
    ):
        yield CounterMetricFamily(f"sojourn_cache_{name}", told, value=counts[name])


def _hooks(found: Metrics) -> Iterator[Metric]:
    runs = CounterMetricFamily("sojourn_hook_runs", "Runs of hooks, one for each event", labels=("hook", "result"))
    for name, own in sorted(found.hooks.items()):
        for result in ("ok", "failed", "died"):
            runs.add_metric((name, result), own.results.get(result, 0))
    yield runs
    each = [((name,), own.durations) for name, own in sorted(found.hooks.items())]
    yield _histograms("sojourn_hook_duration_seconds", "How long runs of hooks took", ("hook",), each)
    yield _by("sojourn_dead_letters", "Dead letters that are there now", "hook", found.dead_letters)


def _archive(found: Metrics) -> Iterator[Metric]:
    told = "For how long the first change has been waiting for the archive"
    yield GaugeMetricFamily("sojourn_archive_lag_seconds", told, value=found.dirty_age_s)
    told = "Sessions that changed since they were last archived"
    yield GaugeMetricFamily("sojourn_dirty_sessions", told, value=found.dirty)
    rows = dict.fromkeys(("sessions", "entries", "events", "audit"), 0) | dict(found.archive_rows)
    yield _by("sojourn_archive_rows", "Rows that archive runs wrote", "table", rows, counts=True)
    runs = dict.fromkeys(("ok", "failed"), 0) | dict(found.archive_runs)
    yield _by("sojourn_archive_runs", "Archive runs by how they ended", "result", runs, counts=True)


def _outboxes(found: Metrics) -> Iterator[Metric]:
    gauges = {
        "sojourn_outbox_events": ("Events in all outboxes", sum(found.outbox.values())),
        "sojourn_outbox_largest_events": ("Events in the largest outbox", max(found.outbox.values(), default=0)),
        "sojourn_outbox_past_alarm": ("Outboxes with more events than events_alarm", len(found.past_alarm)),
        "sojourn_odd_keys": ("Keys of another type than they should be, or too large", len(found.odd_keys)),
    }
    for name, (told, value) in gauges.items():
        yield GaugeMetricFamily(name, told, value=value)
    lags = {name: group.lag_s for name, group in found.groups.items()}
    told = "Age of the oldest event that a group has not acknowledged"
    yield _by("sojourn_group_lag_seconds", told, "group", lags)


def _queues(found: Metrics) -> Iterator[Metric]:
    for names, counts in ((_COUNTS, found.counts), (_QUEUE, found.queue)):
        for name, (metric, told) in names.items() if counts is not None else ():
            yield CounterMetricFamily(metric, told, value=counts.get(name, 0) if counts else 0)
    yield _by("sojourn_queue_depth", "Jobs that wait", "queue", found.waiting)
    yield _by("sojourn_queue_workers", "Workers that are alive", "queue", found.workers)


def _redis(found: Metrics) -> Iterator[Metric]:
    if found.redis_memory_bytes is not None:
        yield GaugeMetricFamily("sojourn_redis_memory_bytes", "What Redis uses", value=found.redis_memory_bytes)
    if found.redis_memory_limit_bytes is not None:
        told = "Redis's maxmemory; 0: none is set"
        yield GaugeMetricFamily("sojourn_redis_memory_limit_bytes", told, value=found.redis_memory_limit_bytes)


def _by(name: str, told: str, label: str, values: Mapping[str, float], *, counts: bool = False) -> Metric:
    family = (CounterMetricFamily if counts else GaugeMetricFamily)(name, told, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _histograms(
    name: str, told: str, labels: tuple[str, ...], each: Iterable[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(name, told, labels=labels)
    for values, histogram in each:
        buckets = [("+Inf" if bound == float("inf") else repr(bound), n) for bound, n in histogram.cumulative]
        family.add_metric(values, buckets, sum_value=histogram.sum_s)
    return family
