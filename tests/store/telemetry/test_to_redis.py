"""Counts of calls in Redis: all of them, once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from tests.proxy import Proxy
from tests.store.examples import keys_of
from tests.waiting import eventually

from sojourn import Cache, InvalidInput, SessionNotFound, SessionStore, Settings
from sojourn.keys import TenantKeys
from sojourn.telemetry import ToRedis
from sojourn.tenants import confine, new_password

UNKNOWN = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


@pytest.fixture
def raw(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def counted(raw: Any, store: Any) -> dict[str, int]:
    """Return the counts of a store's tenant."""
    return {name: int(count) for name, count in raw.hgetall(keys_of(store).calls).items()}


def test_all_calls_are_counted_once(any_redis_url: str, raw: Any) -> None:
    """By operation and result, each in one bucket, with the sum of the durations; sent when the store is closed."""
    with SessionStore(any_redis_url, observers=[ToRedis(interval=3600)]) as store:
        ids = [store.create().id for _ in range(20)]
        for each in ids:
            store.get(each)
        with pytest.raises(SessionNotFound):
            store.get(UNKNOWN)
        assert counted(raw, store) == {}
    found = counted(raw, store)
    assert (found["create|ok"], found["get|ok"], found["get|not_found"]) == (20, 20, 1)
    assert sum(count for name, count in found.items() if name.startswith("get|le|")) == 21
    assert 0 < found["get|sum_us"] < 60_000_000
    assert not [each for each in threading.enumerate() if each.name == "sojourn-telemetry"]


def test_threads_and_tenants(any_redis_url: str, raw: Any) -> None:
    """Views and threads share the counts, and each tenant has its own; they are sent on the way, too."""
    with SessionStore(any_redis_url, observers=[ToRedis(interval=0.05)]) as store:
        views = [store.for_tenant(name) for name in ("acme", "other")]
        ids = [view.create().id for view in views]

        def read(number: int) -> None:
            for _ in range(50):
                views[number % 2].get(ids[number % 2])

        threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
        eventually(lambda: [counted(raw, view).get("get|ok") for view in views] == [100, 100])


def test_the_setting_turns_it_on(any_redis_url: str, raw: Any) -> None:
    """``operation_metrics`` does the same."""
    with SessionStore(settings=Settings(redis_url=any_redis_url, operation_metrics=True)) as store:
        store.get(store.create().id)
    assert counted(raw, store)["get|ok"] == 1


def test_a_lost_reply_counts_once(any_redis_url: str, raw: Any, proxy_to: Callable[[str], Proxy]) -> None:
    """What Redis counted, but did not get to say so, is sent again under the same id."""
    proxy = proxy_to(any_redis_url)
    observer = ToRedis(Settings(redis_url=proxy.url, socket_timeout=0.2), interval=3600)
    with SessionStore(proxy.url, observers=[observer]) as store:
        store.get(store.create().id)
        observer.flush()
        store.get(store.create().id)
        proxy.drop_replies(1, to=b"get|ok")
        observer.flush()
        assert proxy.dropped == 1
        assert counted(raw, store)["get|ok"] == 2
        store.count()
        observer.flush()
        observer.flush()
    found = counted(raw, store)
    assert (found["get|ok"], found["create|ok"], found["count|ok"]) == (2, 2, 1)


def test_an_outage_loses_nothing(any_redis_url: str, raw: Any, proxy_to: Callable[[str], Proxy]) -> None:
    """Counts wait, in a size that does not grow with the calls."""
    proxy = proxy_to(any_redis_url)
    settings = Settings(redis_url=proxy.url, socket_timeout=0.2, retries=0)
    observer = ToRedis(settings, interval=0.05)
    with (
        SessionStore(any_redis_url) as made_with,
        SessionStore(settings=settings, observers=[observer]) as store,
    ):
        session_id = made_with.create().id
        store.get(session_id)
        proxy.refuse()
        for _ in range(10):
            with pytest.raises(Exception, match="Redis"):
                store.get(session_id)
        observer.flush()
        proxy.accept()
        eventually(lambda: store.get(session_id))
    found = counted(raw, store)
    assert found["get|store_unavailable"] >= 10
    assert found["get|ok"] >= 2


def test_a_deleted_tenant_does_not_come_back(any_redis_url: str, raw: Any) -> None:
    """What was still to be told of it is dropped."""
    store = SessionStore(any_redis_url, tenant="gone", observers=[ToRedis(interval=3600)])
    with store, pytest.raises(SessionNotFound):
        store.get(UNKNOWN)
    assert not list(raw.scan_iter("*:gone:*"))


def test_a_confined_login(any_redis_url: str, raw: Any) -> None:
    """A user who is confined to its tenant counts as well."""
    password = new_password()
    made = confine(Settings(redis_url=any_redis_url), "acme", password=password)
    login = any_redis_url.replace("redis://", f"redis://{made.user}:{password}@", 1)
    with SessionStore(login, tenant="acme", observers=[ToRedis(interval=3600)]) as store:
        store.get(store.create().id)
    assert counted(raw, store)["get|ok"] == 1
    assert keys_of(store) != TenantKeys.of("acme", 64)


def test_one_for_two_redis(any_redis_url: str) -> None:
    """It is refused: the counts would go to one of them."""
    observer = ToRedis()
    with SessionStore(any_redis_url, observers=[observer]), pytest.raises(InvalidInput):
        SessionStore("redis://127.0.0.1:1/0", observers=[observer])
    with pytest.raises(InvalidInput):
        ToRedis(interval=0)


_PROGRAM = """
import os, sys
from sojourn import SessionStore
from sojourn.telemetry import ToRedis
store = SessionStore(sys.argv[1], observers=[ToRedis(interval=3600)])
session = store.create()
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        store.get(session.id)
        store.close()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("way", ["end", "fork"])
def test_what_a_process_leaves(any_redis_url: str, raw: Any, way: str) -> None:
    """At its end it sends what it has; a child sends its own counts, and not once more its parent's."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM, any_redis_url, way],
        env={**os.environ}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    keys = TenantKeys.of("default", 64)
    found = raw.hgetall(keys.calls)
    assert found["create|ok"] == "1"
    assert found.get("get|ok") == ("1" if way == "fork" else None)


def test_near_caches_are_counted_once(any_redis_url: str, raw: Any) -> None:
    """Those that are there and those that are gone; the tenant's metrics have them apart from calls."""
    observer = ToRedis(interval=3600)
    hits = misses = 0
    for _ in range(2):
        store = SessionStore(any_redis_url, observers=[observer], cache=Cache())
        made = store.create()
        eventually(lambda: store.get(made.id) and store.cache and store.cache.hits > 5)  # noqa: B023
        observer.flush()
        store.get(made.id)
        info = store.cache
        assert info
        hits, misses = hits + info.hits, misses + info.misses
        store.close()
        observer.flush()
    found = counted(raw, store)
    assert (found["cache|hits"], found["cache|misses"], found["cache|flushes"]) == (hits, misses, 2)
    told = store.metrics()
    assert told.cache == {"hits": hits, "misses": misses, "invalidations": 0, "evictions": 0, "flushes": 2}
    assert "cache" not in told.calls
    assert told.calls["get"].results["ok"] == hits + misses
    store.close()
