"""Counts of a process's calls for Prometheus, which scrapes the process itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

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

    Args:
        registry: of prometheus_client; None: its default one.

    Raises:
        SojournError: prometheus-client is not installed.

    Example:
        >>> store = SessionStore(observers=[Prometheus()])  # doctest: +SKIP
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            from prometheus_client import REGISTRY, Counter, Histogram
        except ImportError as error:
            raise SojournError(f"it needs prometheus-client ({error}): pip install 'sojourn[telemetry]'") from None
        registry = REGISTRY if registry is None else registry
        self._calls = Counter(
            "sojourn_client_operations_total", "Calls of this process by operation and result.",
            ["operation", "result"], registry=registry,
        )  # fmt: skip
        self._durations = Histogram(
            "sojourn_client_operation_duration_seconds", "How long calls of this process took.", ["operation"],
            buckets=[each / 1e6 for each in CALL_BOUNDS_US], registry=registry,
        )  # fmt: skip

    def started(self, call: Call) -> Ended:
        """Count it when it ends."""
        return partial(self._count, call)

    def _count(self, call: Call, outcome: Outcome) -> None:
        self._calls.labels(call.operation, outcome.result).inc()
        self._durations.labels(call.operation).observe(outcome.duration_s)
