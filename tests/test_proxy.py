"""The fault proxy itself, against a real Redis."""

from __future__ import annotations

import gc
import socket
import threading
import time
import warnings
from collections.abc import Callable

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.proxy import Proxy
from tests.waiting import eventually, eventually_async

ProxyTo = Callable[[str], Proxy]


def client_of(url: str, *, retries: int = 0) -> redis.Redis:
    """Return a client that gives up quickly."""
    return redis.Redis.from_url(url, socket_timeout=0.3, retry=Retry(NoBackoff(), retries), decode_responses=True)


def test_forwards_both_ways(any_redis_url: str, proxy_to: ProxyTo) -> None:
    """Without faults it is transparent, also for what needs many reads."""
    with client_of(proxy_to(any_redis_url).url) as client:
        big = "x" * 3_000_000
        client.set("big", big)
        assert client.get("big") == big


def test_dropped_reply_has_reached_the_server(any_redis_url: str, proxy_to: ProxyTo) -> None:
    """The request counts, the client does not hear of it, and only as many replies are lost as asked for."""
    proxy = proxy_to(any_redis_url)
    with client_of(proxy.url) as client:
        client.ping()
        proxy.drop_replies(1, to=b"INCR")
        with pytest.raises(redis.TimeoutError):
            client.incr("n")
        assert client.get("n") == "1"
        assert client.incr("n") == 2
    assert proxy.dropped == 1


def test_replies_to_retries_can_be_dropped_too(any_redis_url: str, proxy_to: ProxyTo) -> None:
    """A client that retries on a new connection loses the reply there too; its handshake does not count."""
    proxy = proxy_to(any_redis_url)
    with client_of(proxy.url, retries=3) as client:
        proxy.drop_replies(2, to=b"INCR")
        assert client.incr("n") == 3
    assert proxy.dropped == 2


def test_delay_holds_replies_back(any_redis_url: str, proxy_to: ProxyTo) -> None:
    """A delay shows in the time of a call, and ends when it is taken away."""
    proxy = proxy_to(any_redis_url)
    with client_of(proxy.url) as client:
        client.ping()
        proxy.delay(0.15)
        started = time.monotonic()
        client.ping()
        assert time.monotonic() - started >= 0.15
        proxy.delay(0)
        assert client.ping()


def test_cut_resets_connections_and_takes_new_ones(any_redis_url: str, proxy_to: ProxyTo) -> None:
    """A cut fails the connection that is there; the next one works."""
    proxy = proxy_to(any_redis_url)
    with client_of(proxy.url) as client, client.client() as held:
        held.ping()
        proxy.cut()
        with pytest.raises(redis.ConnectionError):
            held.ping()
        assert client.ping()


def test_refuses_until_it_accepts(any_redis_url: str, proxy_to: ProxyTo) -> None:
    """Refused connections fail at once; after accept the same port works."""
    proxy = proxy_to(any_redis_url)
    with client_of(proxy.url) as client:
        client.ping()
        proxy.refuse()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        proxy.accept()
        assert client.ping()


def test_server_away_closes_the_client(free_port: int, proxy_to: ProxyTo) -> None:
    """With nothing behind it, it closes what it accepts."""
    proxy = proxy_to(f"redis://user:word@127.0.0.1:{free_port}/3")
    assert proxy.url == f"redis://user:word@127.0.0.1:{proxy.port}/3"
    with client_of(proxy.url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    assert proxy.accepted == 1


def test_leaves_nothing_open_behind_clients_that_come_as_it_ends(any_redis_url: str) -> None:
    """A later test would be blamed for a connection that is collected unclosed."""

    def connect(port: int) -> None:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:  # it has ended
                return

    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            with Proxy(any_redis_url) as proxy:
                client = threading.Thread(target=connect, args=(proxy.port,))
                client.start()
            client.join()
        gc.collect()
    assert not [str(each.message) for each in told]


def test_eventually_returns_or_names_what_did_not_happen() -> None:
    """The first true result is returned; at the deadline the message tells what was awaited and seen."""
    results = iter([0, 0, 7])
    assert eventually(lambda: next(results)) == 7
    with pytest.raises(AssertionError, match=r"not within 0.05 s: a miracle; the last result was 0"):
        eventually(lambda: 0, deadline_s=0.05, what="a miracle")


@pytest.mark.anyio
async def test_eventually_async_does_the_same() -> None:
    """The twin for coroutines."""
    results = iter([0, 0, 7])

    async def condition() -> int:
        return next(results, 0)

    assert await eventually_async(condition) == 7
    with pytest.raises(AssertionError, match="not within"):
        await eventually_async(condition, deadline_s=0.05)


def test_postgres_fixture_gives_each_test_a_database(postgres_url: str) -> None:
    """The database is empty, and the one of this test alone."""
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        count = connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone()
    assert count == (0,)


def test_redis_fixture_restores_the_configuration(redis_url: str, redis_servers: object) -> None:
    """A test's CONFIG SET does not reach the next test."""
    with client_of(redis_url) as client:
        assert client.config_get("notify-keyspace-events") == {"notify-keyspace-events": ""}
        assert client.dbsize() == 0
        client.config_set("notify-keyspace-events", "KEA")
        client.set("left", "over")


def test_redis_fixture_restored_it(redis_url: str) -> None:
    """The other half of the test before."""
    with client_of(redis_url) as client:
        assert client.config_get("notify-keyspace-events") == {"notify-keyspace-events": ""}
        assert client.dbsize() == 0
