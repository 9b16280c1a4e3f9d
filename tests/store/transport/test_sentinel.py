"""Sentinels tell where Redis is: at first, and after another one has taken over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.drivers import StoreOpener
from tests.store.examples import JobSession
from tests.waiting import eventually

from sojourn import Settings, SettingsError, StoreUnavailable
from sojourn.embedded import RedisServer, bundled_redis
from sojourn.redis_urls import pool, url_options

OwnRedis = Callable[..., RedisServer]


@pytest.fixture
def sentinel_executable(tmp_path: Path) -> str:
    """Give the server under the name by which it is a sentinel."""
    path = tmp_path / "redis-sentinel"
    path.symlink_to(bundled_redis())
    return str(path)


def test_failover(store_kind: str, own_redis: OwnRedis, sentinel_executable: str) -> None:
    """When Redis dies, the store finds the one that took its place; and refuses the old one as a replica."""
    first = own_redis({"requirepass": "p/w", "masterauth": "p/w", "min-replicas-to-write": "0"})
    second = own_redis({"requirepass": "p/w", "masterauth": "p/w", "replicaof": f"127.0.0.1 {first.port}"})
    sentinel = own_redis(
        {
            f"sentinel monitor main 127.0.0.1 {first.port}": "1",
            "sentinel auth-pass main": "p/w",
            "sentinel down-after-milliseconds main": "300",
            "sentinel failover-timeout main": "3000",
            "requirepass": "watch",
        },
        executable=sentinel_executable,
    )
    url = f"redis+sentinel://:p%2Fw@127.0.0.1:1,127.0.0.1:{sentinel.port}/main/2?sentinel_password=watch"
    with StoreOpener(store_kind, url) as opener, redis.Redis(port=first.port, password="p/w", db=2) as plain:
        store = opener(JobSession)
        made = store.create()
        assert plain.dbsize()
        eventually(lambda: plain.wait(1, 100))
        watching = redis.Redis(port=sentinel.port, password="watch", decode_responses=True)
        with watching:
            eventually(lambda: watching.sentinel_slaves("main"))
        first.kill()

        def found() -> bool:
            with suppress(StoreUnavailable):
                return made.id in {each.id for each in store.get_many([made.id]) if each}
            return False

        eventually(found, deadline_s=30)
        assert store.increment(made.id, attempts=1) == {"attempts": 1}
        with redis.Redis(port=second.port, password="p/w") as other:
            assert other.role()[0] == b"master"


def test_a_master_that_becomes_a_replica(store_kind: str, own_redis: OwnRedis, sentinel_executable: str) -> None:
    """A write that a replica refuses is sent to the Redis that sentinels name by then."""
    first, second = own_redis(), own_redis()
    sentinel = own_redis(
        {f"sentinel monitor main 127.0.0.1 {first.port}": "1", "sentinel down-after-milliseconds main": "60000"},
        executable=sentinel_executable,
    )
    with StoreOpener(store_kind, f"redis+sentinel://127.0.0.1:{sentinel.port}/main") as opener:
        store = opener(JobSession, retries=5)
        store.create()
        with redis.Redis(port=first.port) as old, redis.Redis(port=sentinel.port) as watching:
            old.replicaof("127.0.0.1", second.port)
            eventually(lambda: old.info("replication")["master_link_status"] == "up")
            watching.sentinel_remove("main")
            watching.sentinel_monitor("main", "127.0.0.1", second.port, 1)
            made = store.create()
        with redis.Redis(port=second.port, decode_responses=True) as new:
            assert any(made.id in key for key in new.scan_iter())


@pytest.mark.parametrize(
    "url", ["redis+sentinel://h:1,h:2", "redis+sentinel://h:sekret/main", "redis+sentinel:///main",
            "redis+sentinel://h/main/0?sentinel_what=sekret", "redis+sentinel://h/main/0?what=sekret"],
)  # fmt: skip
def test_malformed(url: str) -> None:
    """What leads to no sentinel is refused, and nothing of it is told."""
    with pytest.raises(SettingsError, match="redis_url is not a URL for Redis") as caught:
        Settings(redis_url=url)
    assert "sekret" not in str(caught.value)


def test_options() -> None:
    """Database and user are Redis's own; sentinels have theirs."""
    options = url_options("redis+sentinel://ada:pw@h:1,h:2/main/3?sentinel_password=other&health_check_interval=5")
    assert (options["username"], options["password"], options["db"], options["health_check_interval"]) == (
        "ada", "pw", 3, 5,
    )  # fmt: skip
    assert not any(name.startswith("sentinel") for name in options)


def test_tls() -> None:
    """With ``rediss+sentinel`` both Redis and the sentinels are reached over TLS."""
    found: Any = pool("rediss+sentinel://h:1/main?ssl_ca_certs=/ca.pem&sentinel_username=ada")
    assert issubclass(found.connection_class, redis.SSLConnection)
    (sentinel,) = found.sentinel_manager.sentinels
    assert sentinel.connection_pool.connection_class is redis.SSLConnection
    options = sentinel.connection_pool.connection_kwargs
    assert (options["ssl_ca_certs"], options["username"], options["port"]) == ("/ca.pem", "ada", 1)
