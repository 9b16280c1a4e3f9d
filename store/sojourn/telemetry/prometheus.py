"""Counts of a process's calls for Prometheus, which scrapes the process itself."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from sojourn.cache.view import CacheView
from sojourn.counts import CALL_BOUNDS_US
from sojourn.errors import SojournError
from sojourn.telemetry.observing import Call, Ended, Observer, Outcome

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Prometheus"]


class Prometheus(Observer):
    """Counts calls in this process, for an exporter that the process has anyway.

    ``sojourn_client_operations_total{operation,result}`` and ``sojourn_client_operation_duration_seconds{operation}``:
    other names than those that a worker shows for all clients that use `ToRedis`, so that no sum counts a call twice.

    Of near caches, of all stores together: ``sojourn_client_cache_reads_total{result}`` with ``hit`` and ``miss``, and
    ``…_invalidations_total``, ``…_evictions_total``, ``…_flushes_total``, ``…_sessions``, ``…_bytes``, ``…_tracking``.

    Args:
        registry: of prometheus_client; None: its default one.

    Raises:
        SojournError: prometheus-client is not installed.

    Example:
        >>> store = SessionStore(observers=[Prometheus()])  # doctest: +SKIP
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            from prometheus_client import REGISTRY, Histogram
            from prometheus_client import Counter as Counts
        except ImportError as error:
            raise SojournError(f"it needs prometheus-client ({error}): pip install 'sojourn[telemetry]'") from None
        registry = REGISTRY if registry is None else registry
        self._calls = Counts(
            "sojourn_client_operations_total", "Calls of this process by operation and result.",
            ["operation", "result"], registry=registry,
        )  # fmt: skip
        self._durations = Histogram(
            "sojourn_client_operation_duration_seconds", "How long calls of this process took.", ["operation"],
            buckets=[each / 1e6 for each in CALL_BOUNDS_US], registry=registry,
        )  # fmt: skip

        self._caches = _Caches()
        registry.register(self._caches)

    def cached(self, cache: CacheView) -> None:
        """Count what that cache does."""
        self._caches.add(cache)

    def started(self, call: Call) -> Ended:
        """Count it when it ends."""
        return partial(self._count, call)

    def _count(self, call: Call, outcome: Outcome) -> None:
        self._calls.labels(call.operation, outcome.result).inc()
        self._durations.labels(call.operation).observe(outcome.duration_s)


class _Caches:
    """The metrics of near caches, read when they are scraped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: list[CacheView] = []
        self._past: Counter[str] = Counter()
        """What those did that are gone."""
        self._are_any = False

    def add(self, cache: CacheView) -> None:
        with self._lock:
            self._are_any = True
            self._live.append(cache)

    def _sums(self) -> Counter[str]:
        with self._lock:
            for each in [each for each in self._live if each.is_gone]:
                self._live.remove(each)
                self._past.update(_numbers(each))
            found = Counter(self._past)
            for each in self._live:
                found.update(_numbers(each))
            return found

    def collect(self) -> Iterator[Any]:
        if not self._are_any:
            return
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        found = self._sums()
        reads = CounterMetricFamily("sojourn_client_cache_reads", "Reads by who answered them.", labels=["result"])
        reads.add_metric(["hit"], found["hits"])
        reads.add_metric(["miss"], found["misses"])
        yield reads
        for name, told in (
            ("invalidations", "Changes of records that Redis told near caches."),
            ("evictions", "Sessions that left a near cache since there was no more room."),
            ("flushes", "How often a near cache was emptied."),
        ):
            yield CounterMetricFamily(f"sojourn_client_cache_{name}", told, value=found[name])
        for name, told in (
            ("sessions", "Sessions that near caches hold."),
            ("bytes", "What their records take in Redis."),
            ("tracking", "Near caches that Redis tells of changes now."),
        ):
            yield GaugeMetricFamily(f"sojourn_client_cache_{name}", told, value=found[name])


def _numbers(cache: CacheView) -> dict[str, int]:
    return {name: int(value) for name, value in asdict(cache.info).items() if name != "problem"}
