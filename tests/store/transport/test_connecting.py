"""Connections behave as redis-py's do: addresses, TLS, users, protocols, losses, forks and threads; for both stores."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.certificates import make_certificate, tls_context
from tests.drivers import StoreOpener
from tests.proxy import Proxy
from tests.store.examples import JobSession

from sojourn import AsyncSessionStore, SessionStore, Settings, StoreError, StoreUnavailable
from sojourn.embedded import RedisServer
from sojourn.operations.core import Operation
from sojourn.transport.blocking import Transport

OwnRedis = Callable[..., RedisServer]


def exercise(store: SessionStore[JobSession]) -> None:
    """Assert that calls of every sort work."""
    made = store.create(owner="ada", labels=["x", "y"])
    assert store.get(made.id) == made
    assert store.update(made.id, version=1, note="two").version == 2
    assert store.increment(made.id, attempts=3) == {"attempts": 3}
    assert store.append(made.id, JobSession.lines, "one", "two") == 2
    assert store.entries(made.id, JobSession.lines) == ["one", "two"]
    many = store.create_many([{"owner": "ada"}] * 150)
    assert store.get_many(each.id for each in many) == many
    assert len(store.list(owner="ada", limit=10).sessions) == 10
    assert store.count(owner="ada") == 151
    assert store.tokens.verify(store.tokens.issue(made.id).access).id == made.id
    assert store.complete(made.id).status == "completed"
    assert store.usage().sessions is None


@pytest.fixture(scope="module")
def certificate() -> Iterator[Path]:
    """Give a certificate of 127.0.0.1 with its key, signed by itself."""
    with tempfile.TemporaryDirectory() as folder:
        yield make_certificate(Path(folder) / "server.pem")


@pytest.fixture
def tls_proxy(any_redis_url: str, certificate: Path) -> Iterator[Proxy]:
    """Give a proxy before Redis that speaks TLS."""
    with Proxy(any_redis_url, tls=tls_context(certificate)) as proxy:
        yield proxy


def test_tls(open_any_store: StoreOpener, tls_proxy: Proxy, certificate: Path) -> None:
    """Over TLS all is the same, also after a lost connection and with replies larger than a record of TLS."""
    store = open_any_store(JobSession, url=f"{tls_proxy.url}?ssl_ca_certs={certificate}")
    exercise(store)
    large = store.create(note="x" * 200_000)
    tls_proxy.cut()
    assert store.get(large.id) == large
    tls_proxy.drop_replies(1)
    slow = open_any_store(JobSession, url=f"{tls_proxy.url}?ssl_ca_certs={certificate}", socket_timeout=1)
    assert slow.get(large.id) == large


def test_tls_that_is_not_trusted(open_any_store: StoreOpener, tls_proxy: Proxy) -> None:
    """A certificate that nobody vouches for is refused."""
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        open_any_store(JobSession, url=tls_proxy.url, retries=0).create()


def test_unix_socket(store_kind: str, own_redis: OwnRedis) -> None:
    """A socket in the file system is an address too."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        path = f"{folder}/redis.sock"
        server = own_redis({"unixsocket": path, "requirepass": "p/w"})
        with StoreOpener(store_kind, f"unix://:p%2Fw@{path}?db=3") as opener:
            exercise(opener(JobSession))
        with redis.Redis.from_url(server.url) as plain:
            assert "db3" in plain.info("keyspace")


@pytest.mark.parametrize("protocol", [2, 3])
def test_protocols(open_any_store: StoreOpener, protocol: int) -> None:
    """Either protocol may be asked for in the URL."""
    exercise(open_any_store(JobSession, url=f"{open_any_store.url}?protocol={protocol}"))


def test_a_user_whose_password_is_changed(store_kind: str, own_redis: OwnRedis) -> None:
    """While both passwords are good nobody notices; once the old one is not, new connections are refused at once."""
    server = own_redis()
    with redis.Redis.from_url(server.url) as plain:
        plain.acl_setuser("app", enabled=True, passwords=["+old"], keys=["*"], commands=["+@all"])
        base = server.url.replace("//", "//app:{}@")
        with StoreOpener(store_kind, base.format("old")) as opener:
            store = opener(JobSession)
            made = store.create()
            plain.acl_setuser("app", enabled=True, passwords=["+new"])
            plain.execute_command("CLIENT KILL USER app")
            assert store.get(made.id) == made
            assert opener(JobSession, url=base.format("new")).get(made.id) == made
            plain.acl_setuser("app", enabled=True, passwords=["-old"])
            assert store.get(made.id) == made  # on the connection that there is
            plain.execute_command("CLIENT KILL USER app")
            started = time.monotonic()
            with pytest.raises(StoreError) as caught:
                store.get(made.id)
            assert time.monotonic() - started < 1.0
            assert "old" not in str(caught.value)
            assert opener(JobSession, url=base.format("new")).get(made.id) == made


def test_frozen(store_kind: str, own_redis: OwnRedis) -> None:
    """A Redis that is there, but does not answer, costs no more than all attempts take; then it answers again."""
    server = own_redis()
    with StoreOpener(store_kind, server.url) as opener:
        store = opener(JobSession, socket_timeout=0.2)
        made = store.create()
        server.pause()
        for call in (lambda: store.get(made.id), lambda: store.get_many([made.id] * 50)):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match="3 attempts"):
                call()
            assert 0.4 < time.monotonic() - started < 2.5
        server.resume()
        assert store.get(made.id) == made


def test_one_that_takes_and_answers_nothing(own_redis: OwnRedis) -> None:
    """Sending more than fits on the way ends in time, too; so it does under a timer whose signals come more often."""
    server = own_redis()
    transport = Transport(Settings(redis_url=server.url, socket_timeout=0.2, retries=0))
    handled: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: handled.append(number))
    try:
        for command in (("PING",), ("SET", "k", b"x" * 2**25)):
            transport.execute_one(Operation((("PING",),), list))
            server.pause()
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match="timed out"):
                transport.execute_one(Operation((command,), list))
            assert 0.2 < time.monotonic() - started < 2.5
            server.resume()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        transport.close()
    assert len(handled) > 2


def named(plain: Any) -> list[dict[str, str]]:
    """Return the connections of stores."""
    return [each for each in plain.client_list() if each["name"] == "sojourn"]


def test_killed_connections(any_redis_url: str) -> None:
    """Connections of many threads are killed under way, again and again: each write counts once, nobody is told."""
    with (
        redis.Redis.from_url(any_redis_url, decode_responses=True) as plain,
        SessionStore(model=JobSession, settings=Settings(redis_url=any_redis_url, retries=10)) as store,
    ):
        session_id = store.create().id
        errors: list[BaseException] = []

        def count() -> None:
            try:
                for _ in range(100):
                    store.increment(session_id, attempts=1)
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

        threads = [threading.Thread(target=count) for _ in range(8)]
        for each in threads:
            each.start()
        killed = 0
        while any(each.is_alive() for each in threads):
            for connection in named(plain):
                killed += plain.client_kill_filter(_id=connection["id"]) or 0
            time.sleep(0.01)
        assert errors == []
        assert killed > 3
        assert store.get(session_id).attempts == 800


def test_threads_that_end(any_redis_url: str) -> None:
    """A thread that ends leaves its connection to the next one."""
    with (
        redis.Redis.from_url(any_redis_url, decode_responses=True) as plain,
        SessionStore(model=JobSession, settings=Settings(redis_url=any_redis_url)) as store,
    ):
        session_id = store.create().id
        for _ in range(30):
            thread = threading.Thread(target=store.increment, args=(session_id,), kwargs={"attempts": 1})
            thread.start()
            thread.join()
        assert store.get(session_id).attempts == 30
        assert len(named(plain)) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forks_in_the_middle_of_calls(any_redis_url: str) -> None:
    """Children of a process whose threads are calling have connections of their own; each gets its own replies."""
    with SessionStore(model=JobSession, settings=Settings(redis_url=any_redis_url)) as store:
        shared = store.create().id
        over = threading.Event()
        counted: list[list[int]] = []

        def count(session_id: str, until: Callable[[], bool]) -> list[int]:
            found = []
            while not until():
                found.append(store.increment(session_id, attempts=1)["attempts"])
                store.increment(shared, failures=1)
            return found

        def in_thread() -> None:
            counted.append(count(store.create().id, over.is_set))

        def in_child() -> None:
            left = iter(range(50))
            found = count(store.create().id, lambda: next(left, None) is None)
            os._exit(0 if found == list(range(1, 51)) else 1)

        threads = [threading.Thread(target=in_thread) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = [multiprocessing.get_context("fork").Process(target=in_child) for _ in range(5)]
        for child in children:
            child.start()
        for child in children:
            child.join(30)
        over.set()
        for thread in threads:
            thread.join(30)
        assert [child.exitcode for child in children] == [0] * 5
        assert all(each == list(range(1, len(each) + 1)) for each in counted)
        assert store.get(shared).failures == 5 * 50 + sum(map(len, counted))


def test_a_fork_in_the_middle_of_asynchronous_calls(any_redis_url: str) -> None:
    """A child runs a loop of its own on the same store; the parent's calls, in flight meanwhile, go on."""

    async def count(store: AsyncSessionStore[JobSession], session_id: str, times: int) -> None:
        for _ in range(times):
            await store.increment(session_id, attempts=1)

    async def main() -> None:
        store = AsyncSessionStore(model=JobSession, settings=Settings(redis_url=any_redis_url))
        ours, theirs = (await store.create()).id, (await store.create()).id
        tasks = [asyncio.create_task(count(store, ours, 50)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # each has posted its first call
        child = os.fork()
        if child == 0:
            failed = 1
            try:
                asyncio.run(count(store, theirs, 100))
                failed = 0
            finally:
                os._exit(failed)
        await asyncio.gather(*tasks)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0
        assert [each.attempts for each in await store.get_many([ours, theirs]) if each] == [1_000, 100]
        await store.close()

    asyncio.run(main())
