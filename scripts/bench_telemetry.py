"""What observers add to a call: the same call with and without them."""

from __future__ import annotations

import itertools
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from bench_calls import FIELDS, BenchSession, Pair
from sojourn import SessionStore
from sojourn.settings import Settings
from sojourn.telemetry import Observer, OpenTelemetry, Prometheus, ToRedis

__all__ = ["pairs"]


def pairs(url: str) -> list[Pair]:
    """Gets: through the seam that nobody observes, and with each of the ready observers."""
    settings = Settings(redis_url=url, tenant="telemetry")
    plain = SessionStore(model=BenchSession, settings=settings)
    turn = itertools.cycle([each.id for each in plain.create_many([FIELDS] * 1000, ttl=3600)])

    def some(count: int) -> list[str]:
        return [next(turn) for _ in range(count)]

    def without_seam(session_id: str) -> Any:
        return plain._perform(lambda: plain._get(session_id))  # noqa: SLF001

    def observed(name: str, observer: Observer) -> Pair:
        store = SessionStore(model=BenchSession, settings=settings, observers=[observer])
        return Pair(f"get, {name}", some, plain.get, some, store.get)

    # Spans are recorded, and go nowhere: what an exporter costs is the exporter's.
    return [
        Pair("get, nobody observes", some, without_seam, some, plain.get),
        observed("ToRedis", ToRedis()),
        observed("Prometheus", Prometheus(CollectorRegistry())),
        observed("OpenTelemetry", OpenTelemetry(TracerProvider(), MeterProvider())),
    ]
