"""Asynchronous calls that share a connection: none of them gets in another's way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from tests.proxy import Proxy
from tests.store.examples import JobSession
from tests.waiting import eventually, eventually_async

from sojourn import AsyncSessionStore, Settings, StoreUnavailable
from sojourn.embedded import RedisServer
from sojourn.operations.core import Operation
from sojourn.transport.asynchronous import AsyncTransport
from sojourn.transport.line import Line

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Choose asyncio, the only loop that the store is for."""
    return "asyncio"


@pytest.fixture
def plain(any_redis_url: str) -> Any:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def opened(url: str, **settings: Any) -> AsyncSessionStore[JobSession]:
    """Return a store."""
    return AsyncSessionStore(model=JobSession, settings=Settings(redis_url=url, **settings))


def ours(plain: Any) -> list[dict[str, str]]:
    """Return the connections of stores."""
    return [each for each in plain.client_list() if each["name"] == "sojourn"]


def reads(plain: Any) -> int:
    """Return how often Redis has read from a client."""
    return int(plain.info("stats")["total_reads_processed"])


async def test_calls_of_one_turn_go_out_together(any_redis_url: str, plain: Any) -> None:
    """Fifty calls at once take one connection and a few writes, and each gets its own reply."""
    async with opened(any_redis_url) as store:
        ids = [(await store.create(limit=number)).id for number in range(50)]
        before = reads(plain)
        found = await asyncio.gather(*map(store.get, ids))
        assert [each.limit for each in found] == list(range(50))
        assert reads(plain) - before <= 8
        assert len(ours(plain)) == 1


async def test_one_caller_does_not_wait_for_others(any_redis_url: str, plain: Any) -> None:
    """A lone caller's command is written at once: before the loop turns again."""
    async with opened(any_redis_url) as store:
        made = await store.create()
        calls = plain.info("commandstats")["cmdstat_hgetall"]["calls"] if await store.get(made.id) else 0
        call = store.get(made.id)
        waits_for = call.send(None)  # as far as it goes without the loop
        eventually(lambda: plain.info("commandstats")["cmdstat_hgetall"]["calls"] == calls + 1)
        await asyncio.wait([waits_for])
        with pytest.raises(StopIteration) as stop:
            call.send(None)
        assert stop.value.value == made


async def test_cancellation_storm(any_redis_url: str, plain: Any) -> None:
    """Of many calls some are cancelled at any moment; the others get what they asked for, over one connection."""
    chance = random.Random(7)
    async with opened(any_redis_url) as store:
        ids = [(await store.create(limit=number)).id for number in range(100)]
        connection = ours(plain)[0]["id"]
        for _ in range(15):
            tasks = [asyncio.create_task(store.get(each)) for each in ids]
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            unlucky = set(chance.sample(range(100), 40))
            for number in unlucky:
                tasks[number].cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for number, each in enumerate(found):
                if number in unlucky and not isinstance(each, JobSession):
                    assert isinstance(each, asyncio.CancelledError)
                else:
                    assert isinstance(each, JobSession)
                    assert each.limit == number
        assert [each["id"] for each in ours(plain)] == [connection]


async def test_one_gives_up_and_the_others_wait(own_redis: Callable[..., RedisServer]) -> None:
    """While Redis is frozen, one caller gives up; the others get their replies on the same connection."""
    server = own_redis()
    with redis.Redis.from_url(server.url, decode_responses=True) as plain:
        async with opened(server.url, socket_timeout=10) as store:
            made = await store.create()
            await store.increment(made.id, failures=1)  # Redis knows the script
            connection = ours(plain)[0]["id"]
            server.pause()
            patient = [asyncio.create_task(store.increment(made.id, attempts=1)) for _ in range(20)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await store.increment(made.id, failures=1)
            server.resume()
            assert sorted(each["attempts"] for each in await asyncio.gather(*patient)) == list(range(1, 21))
            assert (await store.get(made.id)).failures == 2  # it had been sent
            assert [each["id"] for each in ours(plain)] == [connection]


async def test_frozen(own_redis: Callable[..., RedisServer]) -> None:
    """Redis stays frozen: all calls end in time with the error that says so; after that all is well again."""
    server = own_redis()
    async with opened(server.url, socket_timeout=0.2) as store:
        made = await store.create()
        server.pause()
        started = time.monotonic()
        found = await asyncio.gather(*(store.get(made.id) for _ in range(200)), return_exceptions=True)
        assert all(isinstance(each, StoreUnavailable) for each in found), found
        assert time.monotonic() - started < 3 * 0.2 * 2 + 1
        server.resume()
        assert await store.get(made.id) == made


async def test_killed_connections(any_redis_url: str, plain: Any) -> None:
    """Connections are killed under way, again and again: each write counts once, and no caller hears of it."""
    async with opened(any_redis_url, retries=10) as store:
        made = await store.create()
        left = 1_500

        async def count() -> None:
            nonlocal left
            while left:
                left -= 1
                await store.increment(made.id, attempts=1)

        async def kill() -> int:
            killed = 0
            while left:
                for each in ours(plain):
                    killed += int(plain.client_kill_filter(_id=each["id"]))
                await asyncio.sleep(0.02)
            return killed

        *_, killed = await asyncio.gather(*(count() for _ in range(50)), kill())
        assert killed is not None
        assert killed > 3
        assert (await store.get(made.id)).attempts == 1_500


async def test_a_connection_lost_in_between_costs_no_attempt(any_redis_url: str, plain: Any) -> None:
    """Redis closed the connection while nobody used it; the next call is simply sent on another one."""
    async with opened(any_redis_url, retries=0) as store:
        made = await store.create()
        (connection,) = ours(plain)

        async def hears_of_it() -> bool:
            line = store._shared.transport._shared
            return line is not None and not line.is_open

        plain.client_kill_filter(_id=connection["id"])
        await eventually_async(hears_of_it)
        assert await store.get(made.id) == made


async def test_what_waits_is_in_nobodys_way(any_redis_url: str, plain: Any) -> None:
    """An operation that waits at Redis has a connection for itself; calls go on meanwhile."""
    transport = AsyncTransport(Settings(redis_url=any_redis_url))
    waiting = asyncio.create_task(transport.execute_one(Operation((("BLPOP", "none", 0),), list, alone=True)))
    await asyncio.to_thread(eventually, lambda: any(each["cmd"] == "blpop" for each in ours(plain)))
    for _ in range(100):
        assert await transport.execute_one(Operation((("PING",),), list)) == ["PONG"]
    assert not waiting.done()
    plain.rpush("none", "1")
    assert await waiting == [["none", "1"]]
    await transport.close()


async def test_a_large_reply_is_in_nobodys_way(any_redis_url: str, plain: Any) -> None:
    """A batch with a reply of many megabytes takes another connection than single calls, which end before it."""
    plain.set("large", "x" * 2_000_000)
    transport = AsyncTransport(Settings(redis_url=any_redis_url, socket_timeout=20))
    await transport.execute_one(Operation((("PING",),), list))
    large = asyncio.create_task(transport.execute([Operation((("GET", "large"),), list)] * 60))
    await asyncio.sleep(0)
    answered = 0
    while not large.done():
        await transport.execute_one(Operation((("PING",),), list))
        answered += 1
    assert [len(reply[0]) for reply in await large] == [2_000_000] * 60
    assert answered > 10
    await transport.close()


@asynccontextmanager
async def silent_redis() -> AsyncIterator[tuple[str, list[bytes], asyncio.Event]]:
    """Give a server that takes ``PING``s and answers them no sooner than it is told to; its URL, and what it got."""
    got: list[bytes] = []
    answer = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            got.append(data)
            if b"PING" in data:
                await answer.wait()
            writer.write(b"+OK\r\n" * data.count(b"*"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", got, answer
    finally:
        server.close()


async def filled(transport: AsyncTransport) -> Line:
    """Return the shared connection once it takes no more calls."""

    async def full() -> Line | None:
        line = transport._shared
        return line if line is not None and line.is_full else None

    line = await eventually_async(full)
    assert line is not None
    return line


async def test_few_are_in_flight() -> None:
    """However many call at once: no more than 1,024 are in flight; the rest wait, and come in the order of calling."""
    async with silent_redis() as (url, _, answer):
        transport = AsyncTransport(Settings(redis_url=url, socket_timeout=20))
        ended: list[int] = []

        async def call(number: int) -> None:
            await transport.execute_one(Operation((("PING",),), list))
            ended.append(number)

        tasks = [asyncio.create_task(call(number)) for number in range(5_000)]
        assert len((await filled(transport))._sent) == 1_024
        for task in tasks[2_000:3_000]:
            task.cancel()
        answer.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert ended == [*range(2_000), *range(3_000, 5_000)]
        await transport.close()


async def test_few_bytes_are_in_flight() -> None:
    """Calls that send much wait sooner: four megabytes are in flight, and one call more at most."""
    async with silent_redis() as (url, got, answer):
        transport = AsyncTransport(Settings(redis_url=url, socket_timeout=20))
        calls = [Operation((("PING", "x" * 60_000),), list)] * 300
        tasks = [asyncio.create_task(transport.execute_one(each)) for each in calls]
        assert (await filled(transport))._bytes <= 4 * 1024 * 1024 + 60_100
        answer.set()
        assert await asyncio.gather(*tasks) == [["OK"]] * 300
        assert sum(map(len, got)) > 300 * 60_000
        await transport.close()


def test_one_loop_after_another(any_redis_url: str) -> None:
    """A store may be used in a loop after the one that it was used in before."""
    store = opened(any_redis_url)

    async def use(session_id: str | None) -> str:
        async with store:
            return (await (store.get(session_id) if session_id else store.create())).id

    first = asyncio.run(use(None))
    assert asyncio.run(use(first)) == first


async def test_a_slow_redis_and_too_many_calls() -> None:
    """Redis answers, but too slowly for all who call: those for whom there was no room are told so in time."""
    async with silent_redis() as (url, _, answer):
        transport = AsyncTransport(Settings(redis_url=url, socket_timeout=0.3, retries=0))
        ping = Operation((("PING",),), list)
        answer.set()
        await transport.execute_one(ping)
        line = transport._shared
        assert line is not None
        line._bytes = 4 * 1024 * 1024  # as if that much were in flight
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"no room for one more in 0\.3 s"):
            await transport.execute_one(ping)
        assert time.monotonic() - started < 2
        line._bytes = 0
        line._admit()
        assert await transport.execute_one(ping) == ["OK"]
        await transport.close()


async def test_a_loop_that_is_held_up(any_redis_url: str) -> None:
    """What comes while the program keeps the loop from turning is in time, however much it is."""
    async with opened(any_redis_url, socket_timeout=0.5, retries=0) as store:
        made = await store.create(note="x" * 10_000)
        tasks = [asyncio.create_task(store.get(made.id)) for _ in range(200)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # each has been sent
        time.sleep(1.0)  # noqa: ASYNC251
        assert await asyncio.gather(*tasks) == [made] * 200


async def test_closing_after_callers_are_gone(any_redis_url: str, plain: Any, proxy_to: Callable[[str], Proxy]) -> None:
    """What is closed leaves no connection behind for replies that nobody waits for, nor one half made."""
    proxy = proxy_to(any_redis_url)
    ping = Operation((("PING",),), list)
    tasks = asyncio.all_tasks()
    for is_connected in (True, False):
        transport = AsyncTransport(Settings(redis_url=proxy.url, socket_timeout=30))
        if is_connected:
            await transport.execute_one(ping)
            proxy.delay(30)
        call = asyncio.create_task(transport.execute_one(ping))
        for _ in range(3):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await transport.close()
        assert asyncio.all_tasks() == tasks

        async def all_are_closed() -> bool:
            return not ours(plain)

        await eventually_async(all_are_closed, deadline_s=3)
        proxy.delay(0)


async def test_closing_while_a_connection_is_made(any_redis_url: str) -> None:
    """Who was about to call on it does so on another one, and does not wait for a reply that cannot come."""
    ping = Operation((("PING",),), list)
    for turns in range(20):
        transport = AsyncTransport(Settings(redis_url=any_redis_url, socket_timeout=30, retries=0))
        calls = [asyncio.create_task(transport.execute_one(ping)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await transport.close()
        async with asyncio.timeout(10):
            assert await asyncio.gather(*calls) == [["PONG"]] * 3
        await transport.close()


@pytest.mark.parametrize("alone", [False, True])
async def test_a_reply_that_comes_slowly(*, alone: bool) -> None:
    """It may take longer than the timeout, as long as more of it comes; a connection of its own or not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if b"LRANGE" not in data:
                writer.write(b"+OK\r\n" * data.count(b"*"))
                continue
            writer.write(b"*8\r\n")
            for _ in range(8):
                await asyncio.sleep(0.15)
                writer.write(b"$1\r\nx\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    transport = AsyncTransport(Settings(redis_url=url, socket_timeout=0.5, retries=0))
    try:
        found = await transport.execute_one(Operation((("LRANGE", "x", "0", "-1"),), list, None, alone))
        assert found == [["x"] * 8]
    finally:
        await transport.close()
        server.close()
