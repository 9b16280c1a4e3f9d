"""Metrics in the text format that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sojourn.errors import SojournError
from sojourn.metrics import Metrics

try:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
except ImportError as error:
    raise SojournError(f"metrics for Prometheus need {error.name}: pip install 'sojourn[worker]'") from None

__all__ = ["exposition"]

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


def exposition(metrics: Metrics) -> str:
    """The metrics as text.

    Example:
        >>> "sojourn_dirty_sessions 3.0" in exposition(Metrics(dirty=3))
        True
    """
    registry = CollectorRegistry()
    registry.register(_Found(metrics))
    return generate_latest(registry).decode()


class _Found:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        found = self._metrics
        for names, counts in ((_COUNTS, found.counts), (_QUEUE, found.queue)):
            for name, (metric, told) in names.items() if counts is not None else ():
                yield CounterMetricFamily(metric, told, value=counts.get(name, 0) if counts else 0)
        gauges = {
            "sojourn_dirty_sessions": ("Sessions that changed since they were last archived", found.dirty),
            "sojourn_dirty_age_seconds": ("For how long the first of those has been waiting", found.dirty_age_s),
            "sojourn_outbox_events": ("Events in all outboxes", sum(found.outbox.values())),
            "sojourn_outbox_largest_events": ("Events in the largest outbox", max(found.outbox.values(), default=0)),
            "sojourn_outbox_past_alarm": ("Outboxes with more events than events_alarm", len(found.past_alarm)),
            "sojourn_odd_keys": ("Keys of another type than they should be", len(found.odd_keys)),
        }
        for metric, (told, value) in gauges.items():
            yield GaugeMetricFamily(metric, told, value=value)
        lags = {name: group.lag_s for name, group in found.groups.items()}
        lag = "Age of the oldest event that a group has not acknowledged"
        yield _by("sojourn_group_lag_seconds", lag, "group", lags)
        yield _by("sojourn_dead_letters", "Dead letters that are there now", "hook", found.dead_letters)
        yield _by("sojourn_jobs_waiting", "Jobs that wait", "queue", found.waiting)
        yield _by("sojourn_workers", "Workers that are alive", "queue", found.workers)


def _by(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    gauge = GaugeMetricFamily(name, told, labels=[label])
    for each, value in values.items():
        gauge.add_metric([each], value)
    return gauge
