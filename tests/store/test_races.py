"""Many writers at once: processes, threads, tasks, forks."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.proxy import Proxy
from tests.store import racers
from tests.store.examples import JobSession

from sojourn import AsyncSessionStore, SessionEnded, SessionStore, Settings

WRITERS = 16
ROOT = Path(__file__).parents[2]


def run_writers(target: Callable[..., None], *arguments: Any) -> list[tuple[int, Any, int]]:
    """Run 16 processes that start at one moment; return what each reported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.racers"])
    start, results = context.Barrier(WRITERS), context.Queue()
    processes = [context.Process(target=target, args=(*arguments, me, start, results)) for me in range(WRITERS)]
    for each in processes:
        each.start()
    try:
        found = [results.get(timeout=60) for _ in processes]
        for each in processes:
            each.join(20)
            assert each.exitcode == 0
        return found
    finally:
        for each in processes:
            each.kill()
        results.close()
        results.join_thread()


def test_one_writer_wins_each_version(login_url: str) -> None:
    """Of 16 processes that write against each version, exactly one wins it; all others hear of a later one."""
    with SessionStore(model=JobSession, settings=Settings(redis_url=login_url)) as store:
        made = store.create()
        found = run_writers(racers.race, login_url, made.id, 150)
        won = sorted(version for _, versions, _ in found for version in versions)
        assert won == list(range(1, won[-1] + 1))
        assert won[-1] >= 150
        assert sum(odd for _, _, odd in found) == 0
        after = store.get(made.id)
        assert after.version == won[-1] + 1
        last = next(me for me, versions, _ in found if versions and versions[-1] == won[-1])
        assert after.note == str(last)


def test_ending_beats_late_writers(login_url: str) -> None:
    """Writers that come after the end change nothing, and every write before it counts."""
    with SessionStore(model=JobSession, settings=Settings(redis_url=login_url)) as store:
        made = store.create()
        found = run_writers(racers.end_or_write, login_url, made.id)
        after = store.get(made.id)
        assert after.status == "completed"
        assert after.attempts == sum(counted for _, counted, _ in found)
        assert after.version == 1 + after.attempts + 1


def test_threads_share_a_store(login_url: str) -> None:
    """Threads of one process lose no write, and get their own replies."""
    with SessionStore(model=JobSession, settings=Settings(redis_url=login_url)) as store:
        shared = store.create()
        wrong: list[object] = []

        def work() -> None:
            own = store.create(note=threading.current_thread().name)
            for _ in range(40):
                store.increment(shared.id, attempts=1)
                if store.get(own.id) != own:
                    wrong.append(own.id)
            store.mutate(shared.id, lambda session: {"limit": session.limit + 1})

        threads = [threading.Thread(target=work) for _ in range(16)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        after = store.get(shared.id)
        assert (after.attempts, after.limit, wrong) == (640, 26, [])


@pytest.mark.anyio
async def test_tasks_share_a_store(login_url: str) -> None:
    """More tasks than connections all get through, each with its own reply."""
    settings = Settings(redis_url=login_url, max_connections=5)
    async with AsyncSessionStore(model=JobSession, settings=settings) as store:
        shared = await store.create()

        async def work() -> None:
            own = await store.create()
            for _ in range(10):
                await store.increment(shared.id, attempts=1)
                assert await store.get(own.id) == own
            await store.mutate(shared.id, lambda session: {"limit": session.limit + 1})

        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(work())
        after = await store.get(shared.id)
        assert (after.attempts, after.limit) == (300, 40)


@pytest.mark.anyio
async def test_cancellation_hands_no_reply_to_another(
    any_login_url: str, proxy_to: Callable[[str], Proxy]
) -> None:  # fmt: skip
    """Calls cancelled at any moment leave no reply behind that a later call would take for its own."""
    proxy = proxy_to(any_login_url)
    settings = Settings(redis_url=proxy.url, max_connections=4, socket_timeout=5)
    async with AsyncSessionStore(model=JobSession, settings=settings) as store:
        made = await store.create_many([{"limit": number} for number in range(20)])
        proxy.delay(0.001)
        finished = cancelled = 0

        async def read(session: JobSession) -> None:
            nonlocal finished
            assert await store.get(session.id) == session
            finished += 1

        rounds = 0
        while rounds < 25 or (min(finished, cancelled) <= 50 and rounds < 500):  # some machines finish few in that time
            rounds += 1
            tasks = [asyncio.create_task(read(each)) for each in made]
            await asyncio.wait(tasks, timeout=random.uniform(0.0, 0.012))
            for task in random.sample(tasks, 15):
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, asyncio.CancelledError):
                    cancelled += 1
                else:
                    assert outcome is None
        assert finished > 50
        assert cancelled > 50
        assert await store.get_many([each.id for each in made]) == made


FORKED = """
import asyncio, os, sys
from tests.store.examples import JobSession
from sojourn import AsyncSessionStore, SessionStore, Settings

settings = Settings(redis_url=sys.argv[1])

def check(status):
    assert os.waitstatus_to_exitcode(status) == 0

def in_child(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)

if sys.argv[2] == "sync":
    store = SessionStore(model=JobSession, settings=settings)
    made = store.create()

    def work():
        for _ in range(200):
            store.increment(made.id, attempts=1)
            assert store.get(made.id).id == made.id

    children = [in_child(work), in_child(work)]
    work()
    for child in children:
        check(os.waitpid(child, 0)[1])
    assert store.get(made.id).attempts == 600
    store.close()
else:
    store = AsyncSessionStore(model=JobSession, settings=settings)
    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(store.create())

    async def increments():
        for _ in range(200):
            await store.increment(made.id, attempts=1)
            assert (await store.get(made.id)).id == made.id

    async def whole():
        await increments()
        await store.close()

    children = [in_child(lambda: asyncio.run(whole())) for _ in range(2)]
    loop.run_until_complete(increments())
    for child in children:
        check(os.waitpid(child, 0)[1])
    assert loop.run_until_complete(store.get(made.id)).attempts == 600
    loop.run_until_complete(store.close())
    loop.close()
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_store_survives_a_fork(any_login_url: str, kind: str) -> None:
    """Children use the store that they inherited beside their parent, and nobody reads another's reply."""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", FORKED, any_login_url, kind]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_store_in_one_loop_after_another(any_login_url: str) -> None:
    """An asynchronous store that was closed works in another event loop."""
    store = AsyncSessionStore(model=JobSession, settings=Settings(redis_url=any_login_url))

    async def use() -> int:
        made = await store.create()
        await store.complete(made.id)
        with pytest.raises(SessionEnded):
            await store.touch(made.id)
        count = await store.count()
        await store.close()
        return count

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]
