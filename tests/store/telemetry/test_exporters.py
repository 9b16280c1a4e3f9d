"""Spans and durations by OpenTelemetry, counts by Prometheus: as their exporters see them."""

from __future__ import annotations

import asyncio
import builtins
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from tests.waiting import eventually

from sojourn import AsyncSessionStore, Cache, SessionNotFound, SessionStore, SojournError, VersionConflict
from sojourn.telemetry import OpenTelemetry, Prometheus

UNKNOWN = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


class Telemetry:
    """Providers that keep what they are told."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader])
        self.observer = OpenTelemetry(self.tracers, self.meters)
        self.tracer = self.tracers.get_tracer("test")

    @property
    def spans(self) -> list[Any]:
        """What has ended."""
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def telemetry() -> Any:
    """Give providers of the test's own."""
    made = Telemetry()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def test_spans(any_redis_url: str, telemetry: Telemetry) -> None:
    """Each call is a client's span with the attributes of the conventions, under the caller's span."""
    with (
        SessionStore(any_redis_url, tenant="acme", observers=[telemetry.observer]) as store,
        telemetry.tracer.start_as_current_span("request") as request,
    ):
        session = store.create()
        with pytest.raises(VersionConflict):
            store.update(session.id, version=7, tags=["x"])
        with pytest.raises(SessionNotFound):
            store.get(UNKNOWN)
        with pytest.raises(ValueError, match="secret"):
            store.mutate(session.id, _raise)
    create, update, get, mutate, _ = telemetry.spans
    assert [each.name for each in (create, update, get, mutate)] == [
        "sojourn.create", "sojourn.update", "sojourn.get", "sojourn.mutate"
    ]  # fmt: skip
    for each in (create, update, get, mutate):
        assert each.kind is SpanKind.CLIENT
        assert each.parent.span_id == request.get_span_context().span_id
        assert each.attributes["db.system.name"] == "redis"
        assert each.attributes["db.namespace"] == "0"
        assert each.attributes["db.operation.name"] == each.name.removeprefix("sojourn.")
        assert each.attributes["server.address"] == "127.0.0.1"
        assert each.attributes["sojourn.tenant"] == "acme"
        assert session.id not in str(each.attributes)
    assert create.status.status_code is StatusCode.UNSET
    assert "error.type" not in create.attributes
    assert update.attributes["error.type"] == "sojourn.errors.VersionConflict"
    assert update.status.status_code is StatusCode.ERROR
    assert (get.status.status_code, get.attributes["sojourn.result"]) == (StatusCode.UNSET, "not_found")
    assert mutate.status.status_code is StatusCode.ERROR
    assert "secret" not in mutate.to_json()


def _raise(_: Any) -> Any:
    raise ValueError("a secret")


def test_durations(any_redis_url: str, telemetry: Telemetry) -> None:
    """One histogram, in seconds, by operation and kind of error; no tenant, no id."""
    with SessionStore(any_redis_url, observers=[telemetry.observer]) as store:
        for _ in range(3):
            store.create()
        with pytest.raises(SojournError):
            store.update(UNKNOWN, version=1)
    found = telemetry.reader.get_metrics_data()
    assert found is not None
    (metric,) = found.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("db.client.operation.duration", "s")
    points: dict[Any, Any] = {(each.attributes or {})["db.operation.name"]: each for each in metric.data.data_points}
    assert points["create"].count == 3
    assert 0 < points["create"].sum < 10
    assert "sojourn.tenant" not in points["create"].attributes


def test_the_trace_is_in_the_events(any_redis_url: str, telemetry: Telemetry) -> None:
    """The current span's, unless the store was given one; '' where there is no span."""
    with SessionStore(any_redis_url, observers=[telemetry.observer]) as store:
        with telemetry.tracer.start_as_current_span("request") as request:
            session = store.create()
            store.acting(trace_id="given").update(session.id, tags=["x"])
        store.complete(session.id)
        plain = [each.trace_id for each in store.peek_events(start="oldest").events]
    trace = format(request.get_span_context().trace_id, "032x")
    assert plain[:2] == [trace, "given"]
    own = next(each for each in telemetry.spans if each.name == "sojourn.complete")
    assert plain[2] == format(own.context.trace_id, "032x")


@pytest.mark.anyio
async def test_fifty_tasks_keep_their_parents(any_redis_url: str, telemetry: Telemetry) -> None:
    """Each task's spans are under its own, whatever the others do; what is done within a call is under the call's."""
    async with AsyncSessionStore(any_redis_url, observers=[telemetry.observer]) as store:

        async def work(number: int) -> None:
            with telemetry.tracer.start_as_current_span(f"task {number}"):
                session = await store.create(owner=f"o{number}")

                def change(_: Any) -> Any:
                    with telemetry.tracer.start_as_current_span(f"within {number}"):
                        return {"tags": [str(number)]}

                await store.mutate(session.id, change)
                async with store.editing(session.id) as draft:
                    draft.tags = ["y"]

        await asyncio.gather(*(work(number) for number in range(50)))
        events = (await store.peek_events(start="oldest", limit=1000)).events
    by_id = {each.context.span_id: each for each in telemetry.spans}
    for number in range(50):
        (root,) = [each for each in telemetry.spans if each.name == f"task {number}"]
        own = [each for each in telemetry.spans if each.parent and each.parent.span_id == root.context.span_id]
        assert sorted(each.name for each in own) == [
            "sojourn.create", "sojourn.editing", "sojourn.get", "sojourn.mutate"
        ]  # fmt: skip
        (within,) = [each for each in telemetry.spans if each.name == f"within {number}"]
        assert by_id[within.parent.span_id].name == "sojourn.mutate"
        assert by_id[within.parent.span_id].parent.span_id == root.context.span_id
    assert len({each.trace_id for each in events}) == 50


def test_threads_keep_their_parents(any_redis_url: str, telemetry: Telemetry) -> None:
    """The same of threads that share a store."""
    with SessionStore(any_redis_url, observers=[telemetry.observer]) as store:

        def work(number: int) -> None:
            with telemetry.tracer.start_as_current_span(f"thread {number}"):
                store.get(store.create().id)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(40)))
    roots = {each.context.span_id for each in telemetry.spans if each.name.startswith("thread")}
    for each in telemetry.spans:
        if each.name in ("sojourn.get", "sojourn.create"):
            assert each.parent.span_id in roots


def test_prometheus(any_redis_url: str) -> None:
    """Counts by operation and result, and durations, in the registry that it was given."""
    registry = CollectorRegistry()
    with SessionStore(any_redis_url, observers=[Prometheus(registry)]) as store:
        session = store.create()
        store.get(session.id)
        with pytest.raises(SessionNotFound):
            store.get(UNKNOWN)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("sojourn_client_operations_total", operation="get", result="ok") == 1
    assert value("sojourn_client_operations_total", operation="get", result="not_found") == 1
    assert value("sojourn_client_operation_duration_seconds_count", operation="get") == 2
    assert (value("sojourn_client_operation_duration_seconds_sum", operation="create") or 0) > 0


@pytest.mark.parametrize(("package", "make"), [("opentelemetry", OpenTelemetry), ("prometheus_client", Prometheus)])
def test_without_the_package(monkeypatch: pytest.MonkeyPatch, package: str, make: Any) -> None:
    """It is said what to install."""
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named '{package}'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SojournError, match=r"sojourn\[telemetry\]"):
        make()


def test_prometheus_of_near_caches(any_redis_url: str) -> None:
    """Counted over all stores, whether they are still there or not; without a cache there is no such metric."""
    registry = CollectorRegistry()
    observer = Prometheus(registry)

    def value(name: str, **labels: str) -> float:
        found = registry.get_sample_value(f"sojourn_client_cache_{name}", labels)
        return -1.0 if found is None else found

    def use_a_store() -> int:
        with SessionStore(any_redis_url, observers=[observer], cache=Cache()) as store:
            made, told = store.create(), value("invalidations_total")
            eventually(lambda: store.get(made.id) and store.cache and store.cache.hits > 3)
            store.touch(made.id)
            eventually(lambda: value("invalidations_total") > told)
            eventually(lambda: store.get(made.id) and value("sessions") == value("tracking") == 1)
            assert store.cache
            assert value("bytes") == store.cache.bytes > 0
            return store.cache.hits

    assert value("reads_total", result="hit") == -1
    hits = use_a_store() + use_a_store()
    gc.collect()
    assert value("sessions") == value("bytes") == value("tracking") == value("evictions_total") == 0
    assert value("reads_total", result="hit") == hits
    assert value("reads_total", result="miss") >= 4
    assert value("flushes_total") >= 2
