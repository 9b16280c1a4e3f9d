"""A cleanup that runs by itself: a task of the asynchronous store, a thread of the other."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from tests.proxy import Proxy
from tests.store.cleanup.test_due import let_pass
from tests.store.cleanup.test_inactive import aged
from tests.store.examples import JobSession, keys_of
from tests.waiting import eventually, eventually_async

from sojourn import AsyncSessionStore, InvalidInput, SessionStore, Settings, StoreUnavailable
from sojourn.cleanup.report import Tally
from sojourn.cleanup.schedule import scheduler


@pytest.fixture
def raw_any(any_redis_url: str) -> Any:
    """Give a plain client."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def plain(any_redis_url: str) -> Any:
    """Give a store to make sessions with."""
    with SessionStore(any_redis_url, model=JobSession) as store:
        yield store


def plant(store: Any, raw: Any) -> tuple[str, str]:
    """Return a session past its deadline, and one that nobody has used for ten days."""
    due, stale = store.create(ttl=3600).id, aged(store, raw, 10)
    let_pass(store, raw, [due])
    return due, stale


def status_of(raw: Any, store: Any, session_id: str) -> str:
    """Return what is in the record."""
    return str(raw.hget(keys_of(store).session(session_id), "status"))


@pytest.mark.anyio
async def test_it_cleans_up(plain: Any, raw_any: Any, any_redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is due is claimed and what is inactive ends, again and again; each run that did something is one line."""
    caplog.set_level(logging.INFO, "sojourn.cleanup")
    due, stale = plant(plain, raw_any)
    async with AsyncSessionStore(any_redis_url, model=JobSession) as store:
        status = store.start_cleanup_scheduler(0.02, max_age=86_400)
        await eventually_async(lambda: _is(status.runs >= 2), what="two runs")
        assert (status_of(raw_any, plain, due), status_of(raw_any, plain, stale)) == ("expired", "terminated")
        second, _ = plant(plain, raw_any)
        await eventually_async(lambda: _is(status.expired == 2), what="a later session")
        assert status_of(raw_any, plain, second) == "expired"
        assert store.cleanup_scheduler is status
        assert (status.failures, status.last_error, status.running) == (0, None, True)
        assert status.last_run is not None
        assert await store.stop_cleanup_scheduler()
        assert not status.running
        runs = status.runs
        await asyncio.sleep(0.1)
        assert status.runs == runs
    lines = [each for each in caplog.records if each.name == "sojourn.cleanup"]
    assert 2 <= len(lines) <= 3
    assert lines[0].__dict__["expired"] == 1
    assert lines[0].__dict__["ended"] == 1
    assert lines[0].__dict__["tenant"] == "default"
    assert lines[0].__dict__["duration_ms"] > 0
    assert int(raw_any.hget(keys_of(plain).stats, "cleanup|runs")) == runs


async def _is(value: bool) -> bool:
    return value


@pytest.mark.anyio
async def test_leaving_the_block_stops_it(any_redis_url: str) -> None:
    """So does `close`; no task is left."""
    before = asyncio.all_tasks()
    async with AsyncSessionStore(any_redis_url) as store:
        statuses = [
            store.start_cleanup_scheduler(60), store.for_tenant("acme").start_cleanup_scheduler(60, max_age=3600)
        ]  # fmt: skip
        await eventually_async(lambda: _is(all(each.runs for each in statuses)))
        assert asyncio.all_tasks() > before
    assert not any(each.running for each in statuses)
    assert {each for each in asyncio.all_tasks() - before if "cleanup" in each.get_name()} == set()


@pytest.mark.anyio
async def test_twice_is_told(any_redis_url: str) -> None:
    """A second start for one tenant is refused, one for another is not; after a stop it may begin again."""
    async with AsyncSessionStore(any_redis_url) as store:
        store.start_cleanup_scheduler(60)
        with pytest.raises(InvalidInput, match="stop_cleanup_scheduler"):
            store.start_cleanup_scheduler(60)
        store.for_tenant("acme").start_cleanup_scheduler(60)
        assert await store.stop_cleanup_scheduler()
        assert await store.stop_cleanup_scheduler()
        assert store.start_cleanup_scheduler(30).running


def test_a_closed_loop_leaves_none(any_redis_url: str) -> None:
    """What a loop that is closed left behind neither runs nor stands in the way."""
    store = AsyncSessionStore(any_redis_url)
    with pytest.raises(InvalidInput, match="event loop"):
        store.start_cleanup_scheduler(60)

    async def start() -> Any:
        status = store.start_cleanup_scheduler(60)
        await eventually_async(lambda: _is(status.runs > 0))
        await store._shared.transport.close()
        return status

    first = asyncio.run(start())
    assert not first.running

    async def again() -> None:
        assert await store.stop_cleanup_scheduler()

    asyncio.run(again())


@pytest.mark.anyio
async def test_redis_goes_and_comes_back(
    plain: Any, raw_any: Any, any_redis_url: str, proxy_to: Callable[[str], Proxy], caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on trying, and tells each time; what failed is counted in Redis once that is back."""
    proxy = proxy_to(any_redis_url)
    settings = Settings(redis_url=proxy.url, socket_timeout=0.2, retries=0)
    async with AsyncSessionStore(settings=settings) as store:
        status = store.start_cleanup_scheduler(0.05)
        await eventually_async(lambda: _is(status.runs > 0))
        proxy.refuse()
        await eventually_async(lambda: _is(status.failures >= 2), what="failures")
        assert isinstance(status.last_error, StoreUnavailable)
        assert status.running
        due, _ = plant(plain, raw_any)
        proxy.accept()
        await eventually_async(lambda: _is(status.expired == 1), what="the claim")
        await eventually_async(lambda: _is(status.last_error is None))
        assert status_of(raw_any, plain, due) == "expired"
    failures = status.failures
    assert int(raw_any.hget(keys_of(plain).stats, "cleanup|failures")) == failures
    told = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(told) == failures
    assert all(each.__dict__["tenant"] == "default" for each in told)


@pytest.mark.anyio
async def test_whatever_is_raised_is_kept_and_told(
    any_redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not only errors of the library: the next run comes all the same."""
    async with AsyncSessionStore(any_redis_url) as store:
        trouble = [ZeroDivisionError("odd")]
        drive = store._drive

        async def failing(build: Any) -> Any:
            if trouble:
                raise trouble.pop()
            return await drive(build)

        monkeypatch.setattr(store, "_drive", failing)
        status = store.start_cleanup_scheduler(0.01)
        await eventually_async(lambda: _is(status.failures == 1 and status.runs > 0))
    assert "cleanup failed" in caplog.text


@pytest.mark.anyio
async def test_cancelled_at_every_await(plain: Any, raw_any: Any, any_redis_url: str) -> None:
    """Wherever it is cancelled the store still closes, and what it had begun is whole: all is found by the next run."""
    for turns in range(0, 40, 2):
        ids = [each.id for each in plain.create_many([{}] * 12, ttl=3600)]
        let_pass(plain, raw_any, ids)
        async with AsyncSessionStore(any_redis_url, model=JobSession) as store:
            store.start_cleanup_scheduler(60)
            (task,) = [each for each in asyncio.all_tasks() if each.get_name().startswith("sojourn-cleanup")]
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=5)
            assert done, (turns, task)
            status = store.cleanup_scheduler
            assert status is not None
            assert not status.running
            await store.expire_due()
        assert {status_of(raw_any, plain, each) for each in ids} <= {"expired"}


@pytest.mark.anyio
async def test_stopping_waits_for_the_step_under_way(
    plain: Any, raw_any: Any, any_redis_url: str, proxy_to: Callable[[str], Proxy]
) -> None:
    """And not for all that is left; one that takes too long is cancelled."""
    proxy = proxy_to(any_redis_url)
    ids = [each.id for each in plain.create_many([{}] * 200, ttl=3600)]
    let_pass(plain, raw_any, ids)
    async with AsyncSessionStore(proxy.url, model=JobSession) as store:
        await store.count()
        proxy.delay(0.02)
        status = store.start_cleanup_scheduler(60)
        await eventually_async(lambda: _is(_expired(raw_any, plain, ids) > 0), what="a first step")
        assert await store.stop_cleanup_scheduler()
        assert status.expired == _expired(raw_any, plain, ids) < 200
        proxy.delay(5)
        store.start_cleanup_scheduler(60)
        await asyncio.sleep(0.05)
        assert not await store.stop_cleanup_scheduler(0.05)
        assert not store.cleanup_scheduler.running  # type: ignore[union-attr]


def _expired(raw: Any, store: Any, ids: list[str]) -> int:
    return sum(status_of(raw, store, each) == "expired" for each in ids)


def test_a_thread_does_the_same(plain: Any, raw_any: Any, any_redis_url: str) -> None:
    """The synchronous store's twin: started twice it tells, closing stops it, and no thread is left."""
    due, stale = plant(plain, raw_any)
    with SessionStore(any_redis_url, model=JobSession) as store:
        status = store.start_cleanup_scheduler(0.02, max_age=86_400)
        with pytest.raises(InvalidInput, match="running"):
            store.start_cleanup_scheduler(1)
        eventually(lambda: status.runs > 1)
        assert (status_of(raw_any, plain, due), status_of(raw_any, plain, stale)) == ("expired", "terminated")
        assert store.stop_cleanup_scheduler()
        assert not status.running
        assert store.start_cleanup_scheduler(60).running
    assert not [each for each in threading.enumerate() if each.name.startswith("sojourn-cleanup")]


def test_a_thread_outlives_an_outage(
    plain: Any, raw_any: Any, any_redis_url: str, proxy_to: Callable[[str], Proxy]
) -> None:
    """It keeps the error, tries again soon, and goes on."""
    proxy = proxy_to(any_redis_url)
    settings = Settings(redis_url=proxy.url, socket_timeout=0.2, retries=0)
    with SessionStore(settings=settings) as store:
        proxy.refuse()
        status = store.start_cleanup_scheduler(0.05)
        eventually(lambda: status.failures >= 2)
        proxy.accept()
        plain.create()
        eventually(lambda: status.runs and status.last_error is None)


def test_waits() -> None:
    """Around the interval; after an outage 0.5 s at most, then twice as long each time, up to the interval."""
    status = scheduler("acme", 60, None, 0.1)
    status.succeeded(Tally())
    assert all(54 <= status.pause_s() <= 66 for _ in range(100))
    longest = []
    for _ in range(10):
        status.failed(StoreUnavailable("away"), Tally())
        longest.append(max(status.pause_s() for _ in range(200)))
    assert longest[0] <= 0.5
    assert longest[3] > 1.5
    assert 30 <= longest[-1] <= 60
    status.failed(ValueError("odd"), Tally())
    assert status.pause_s() >= 54


@pytest.mark.parametrize(
    ("interval", "named"),
    [(None, {}), (0, {}), ("1", {}), (60, {"max_age": 0}), (60, {"jitter": 2}), (60, {"jitter": "x"})],
)
def test_odd_arguments(any_redis_url: str, interval: Any, named: dict[str, Any]) -> None:
    """They are refused, and nothing runs."""
    with SessionStore(any_redis_url) as store:
        with pytest.raises(InvalidInput):
            store.start_cleanup_scheduler(interval, **named)
        assert store.cleanup_scheduler is None
        for odd in (-1, "x", float("nan"), None):
            with pytest.raises(InvalidInput):
                store.stop_cleanup_scheduler(odd)  # type: ignore[arg-type]


def test_of_threads_that_start_it_one_does(any_redis_url: str) -> None:
    """The others are refused; closing the store leaves no thread."""
    for _ in range(10):
        with SessionStore(any_redis_url) as store, ThreadPoolExecutor(4) as pool:
            gate = threading.Barrier(4)

            def start(store: Any = store, gate: Any = gate) -> bool:
                gate.wait(10)
                try:
                    store.start_cleanup_scheduler(60)
                except InvalidInput:
                    return False
                return True

            started = [each.result() for each in [pool.submit(start) for _ in range(4)]]
            assert sorted(started) == [False, False, False, True]
    assert not [each for each in threading.enumerate() if each.name.startswith("sojourn-cleanup")]
