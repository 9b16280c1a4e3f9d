"""Health: each threshold is passed, one by one, and told with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError
from tests.waiting import eventually

from sojourn import SessionStore, Settings
from sojourn.errors import StoreError
from sojourn.health import Health, Reason, State, Watch, judge, read_health, readiness
from sojourn.jobqueues import SCHEDULER_SEEN
from sojourn.keys import TenantKeys, queue_counts
from sojourn.metrics import Metrics, read_metrics
from sojourn.operations.core import raise_for
from sojourn.operations.expiry import note_failed_sweep

KEYS = TenantKeys.of("default", 8)


@pytest.fixture
def raw(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def store(any_redis_url: str) -> Iterator[SessionStore[Any]]:
    """Give a store of a small deployment."""
    with SessionStore(settings=settings_for(any_redis_url)) as opened:
        opened.count()
        yield opened


def settings_for(url: str, **more: Any) -> Settings:
    """Return settings with few partitions."""
    return Settings(redis_url=url, partitions=8, **more)


def whats(settings: Settings) -> list[str]:
    """Return what is not as it should be."""
    return [each.what for each in read_health(settings).reasons]


def test_nothing_is_healthy(store: SessionStore[Any]) -> None:
    """A deployment without sessions and without workers is well."""
    assert read_health(store.settings).state == State.HEALTHY
    assert [each.ok for each in readiness(store.settings)] == [True, True, True]


def test_sessions(store: SessionStore[Any], any_redis_url: str) -> None:
    """More live sessions of one tenant than the threshold; those of several tenants are not added up."""
    store.create_many([{}] * 3)
    store.for_tenant("acme").create_many([{}] * 3)
    assert whats(settings_for(any_redis_url, health_sessions=3)) == []
    store.complete(store.create().id)
    assert whats(settings_for(any_redis_url, health_sessions=3)) == []
    store.for_tenant("acme").create()
    found = read_health(settings_for(any_redis_url, health_sessions=3, metrics_tenants=0))
    assert found.state == State.DEGRADED
    (reason,) = found.reasons
    assert (reason.what, reason.value, reason.threshold) == ("sessions", 4, 3)
    assert "acme" in reason.told
    assert "sojourn tenant limits acme" in reason.mend
    assert json.loads(json.dumps(found.to_json()))["state"] == "degraded"


def test_memory(store: SessionStore[Any], any_redis_url: str) -> None:
    """The records of a tenant take more than the threshold."""
    assert whats(settings_for(any_redis_url, health_memory_mb=1)) == []
    store.create_many([{"metadata": {"x": "y" * 50_000}}] * 25)
    assert whats(settings_for(any_redis_url, health_memory_mb=1)) == ["memory"]


def test_cleanup_failures(store: SessionStore[Any], raw: Any, any_redis_url: str) -> None:
    """More than that part of the recent sweeps failed; a single failure among many is none to tell."""
    operation = note_failed_sweep(KEYS.partition)
    count, *arguments = operation.commands[-1][2:]
    raw.eval(operation.source, count, *arguments)
    found = read_metrics(store.settings)
    assert (found.sweeps.failures, found.sweeps.recent_failures) == (1, 1)
    assert whats(store.settings) == ["cleanup"]
    slot = next(name for name in raw.hgetall(KEYS.partition.sweeps) if name.startswith("runs:"))
    raw.hset(KEYS.partition.sweeps, slot, 30)
    assert whats(store.settings) == []
    assert whats(settings_for(any_redis_url, health_cleanup_failures=0.01)) == ["cleanup"]
    window = slot.replace("runs", "window")
    raw.hincrby(KEYS.partition.sweeps, window, -3)  # half an hour ago
    assert whats(settings_for(any_redis_url, health_cleanup_failures=0.01)) == []


def test_nobody_sweeps(store: SessionStore[Any], any_redis_url: str) -> None:
    """A session has been past its deadline for longer than the threshold."""
    store.create(ttl=0.001)
    settings = settings_for(any_redis_url, health_scheduler_silence=0.05)
    eventually(lambda: whats(settings) == ["sweeper"])
    assert whats(store.settings) == []


def test_scheduler(store: SessionStore[Any], raw: Any, any_redis_url: str) -> None:
    """It is missed where it has been silent for too long, or where there is something for it to do."""
    hooks = {"mail": {"events": ["ended"], "function": "os:getcwd"}}
    busy = settings_for(any_redis_url, hooks=hooks, health_scheduler_silence=60)
    assert whats(store.settings) == []
    assert whats(busy) == ["scheduler"]
    now_ms = raw.time()[0] * 1000
    raw.hset(queue_counts("sojourn"), SCHEDULER_SEEN, now_ms)
    assert whats(busy) == []
    raw.hset(queue_counts("sojourn"), SCHEDULER_SEEN, now_ms - 61_000)
    assert whats(busy) == ["scheduler"]
    assert whats(store.settings) == []


def test_archive(store: SessionStore[Any], raw: Any, any_redis_url: str) -> None:
    """PostgreSQL is away: degraded, since what waits for it is safe in Redis; a long wait is told, too."""
    raw.hset(queue_counts("sojourn"), SCHEDULER_SEEN, raw.time()[0] * 1000)
    settings = settings_for(any_redis_url, archive_url="postgresql://127.0.0.1:1/x?user=u&password=s3cret")
    found = read_health(settings)
    assert [each.what for each in found.reasons] == ["archive"]
    assert found.state == State.DEGRADED
    assert "s3cret" not in json.dumps(found.to_json())
    store.create()
    slow = settings.model_copy(update={"dirty_alarm": 0.01})
    eventually(lambda: sorted(whats(slow)) == ["archive", "archive_lag"])


def test_queues(store: SessionStore[Any], raw: Any, any_redis_url: str) -> None:
    """Jobs wait and no worker is there, or the queues' Redis is away."""
    raw.lpush("rq:queue:sojourn-hooks", "a")
    assert whats(store.settings) == ["queues"]
    raw.delete("rq:queue:sojourn-hooks")
    assert whats(settings_for(any_redis_url, queue_url="redis://127.0.0.1:1/0")) == ["queues"]


def test_outbox(store: SessionStore[Any], any_redis_url: str) -> None:
    """More events than the alarm."""
    list(store.events("slow", timeout=0))
    store.create_many([{}] * 101)
    assert whats(settings_for(any_redis_url, events_alarm=100)) == ["outbox"]


def test_redis_away_is_unhealthy() -> None:
    """Nothing works without it, and one look tells."""
    found = read_health(Settings(redis_url="redis://127.0.0.1:1/0", retries=0))
    assert found.state == State.UNHEALTHY
    assert [each.what for each in found.reasons] == ["redis"]
    assert [each.ok for each in readiness(Settings(redis_url="redis://127.0.0.1:1/0", retries=0))] == [False]


def test_another_layout_is_unhealthy(store: SessionStore[Any], any_redis_url: str) -> None:
    """A deployment with other settings can do nothing there."""
    store.create()
    assert read_health(Settings(redis_url=any_redis_url, partitions=9)).state == State.UNHEALTHY


def test_redis_memory() -> None:
    """Redis is nearly full; without a limit it never is."""
    full = Metrics(redis_memory_bytes=95, redis_memory_limit_bytes=100)
    assert [each.what for each in judge(full, Settings())] == ["redis_memory"]
    assert judge(Metrics(redis_memory_bytes=95, redis_memory_limit_bytes=0), Settings()) == ()


def test_the_worst_reason_counts() -> None:
    """Healthy without any; else the worst of them."""
    degraded, unhealthy = Reason("a", State.DEGRADED, "", ""), Reason("b", State.UNHEALTHY, "", "")
    assert Health().state == State.HEALTHY
    assert Health((degraded,)).and_also(unhealthy).state == State.UNHEALTHY
    assert Health((unhealthy, degraded)).state == State.UNHEALTHY


def test_a_watch_keeps_a_look_for_a_moment(store: SessionStore[Any]) -> None:
    """What was read is good for a second; then it is read anew."""
    watch = Watch(store.settings)
    first = watch.metrics()
    store.create()
    assert watch.metrics() is first
    eventually(lambda: watch.metrics() is not first, deadline_s=20)
    assert watch.metrics().dirty == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (
            "NOPERM No permissions to access a key",
            "this user of Redis may not do that: it is confined to a tenant, or may not use a command",
        ),
        ("ERR no", "Redis refused an operation: ERR no"),
    ],
)
def test_what_all_tenants_share_is_no_tenant_called_by_a_dash(reply: str, told: str) -> None:
    """Whoever may not read a deployment's numbers is not told of a tenant '-', nor of a session '-'."""
    with pytest.raises(StoreError) as caught:
        raise_for(ResponseError(reply), "-", "-")
    assert str(caught.value).startswith(told)
