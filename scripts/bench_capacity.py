"""What calls cost the Redis server itself: its processor's time, and so how many one core can carry.

The time is all that the server's process takes, the sockets included: INFO cpu before and after, by the calls between.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, Final

import redis

from bench_calls import CHANGES, FIELDS, BenchSession
from bench_registry import Bench, Found, Row, section
from sojourn import AsyncSessionStore
from sojourn.settings import Settings

__all__ = ["run"]

TASKS: Final = 50
CALLS: Final = 2_000
BATCH: Final = 500


@section("capacity")
def run(bench: Bench) -> Found:
    """What a call takes of Redis's core, sockets included, and so what one core can carry."""
    return Found(asyncio.run(_rows(bench.url, min(bench.rounds, 5), CALLS)))


async def _rows(url: str, rounds: int, calls: int) -> list[Row]:
    store = AsyncSessionStore(model=BenchSession, settings=Settings(redis_url=url), tenant="capacity")
    try:
        with closing(redis.Redis.from_url(url)) as client:
            turn = itertools.cycle(await _made(store, calls))
            ended = iter(await _made(store, calls * (rounds + 1)))
            works: dict[str, Callable[[], Awaitable[Any]]] = {
                "get": lambda: store.get(next(turn)),
                "create": lambda: store.create(ttl=3600, **FIELDS),
                "update": lambda: store.update(next(turn), **CHANGES),
                "touch": lambda: store.touch(next(turn)),
                "complete": lambda: store.complete(next(ended)),
            }
            return [
                await _row(client, name, work, rounds, tasks, calls)
                for name, work in works.items()
                for tasks in ((1, TASKS) if name == "get" else (TASKS,))
            ]
    finally:
        await store.close()


async def _made(store: AsyncSessionStore[BenchSession], count: int) -> list[str]:
    ids: list[str] = []
    while len(ids) < count:
        ids += [each.id for each in await store.create_many([FIELDS] * min(BATCH, count - len(ids)), ttl=3600)]
    return ids


async def _row(client: Any, name: str, work: Callable[[], Awaitable[Any]], rounds: int, tasks: int, calls: int) -> Row:
    found = []
    for index in range(rounds + 1):
        before = _spent_us(client)
        await asyncio.gather(*(_repeat(work, calls // tasks) for _ in range(tasks)))
        if index:  # the first round warms up
            found.append((_spent_us(client) - before) / calls)
    row = Row(f"Redis's own time of a {name}, {tasks} task{'s' if tasks > 1 else ''}", "one core", found, "us")
    row.details["calls that fill it, /s"] = 1e6 / row.measured
    return row


async def _repeat(work: Callable[[], Awaitable[Any]], count: int) -> None:
    for _ in range(count):
        await work()


def _spent_us(client: Any) -> float:
    """What the server's process has spent, of user and system time."""
    told = client.info("cpu")
    return 1e6 * float(told["used_cpu_user"] + told["used_cpu_sys"])
