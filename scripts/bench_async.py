"""Asynchronous calls by one task and by fifty, held against redis.asyncio with as many.

The bare side is one `redis.asyncio.Redis` with its own pool and default protocol: as many connections as there are
tasks, opened before the clock starts. Its gets are `HGETALL` into a dict, its writes `EVALSHA` of the very script and
arguments that the library sends, made before the clock starts. Each task awaits its call, and takes the next input.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio

from bench_calls import BATCH, CHANGES, FIELDS, BenchSession, Commands, load_scripts
from bench_registry import OF_ITS_TIME, TIMES_ITS_RATE, Bench, Found, Row, section
from sojourn import AsyncSessionStore
from sojourn.settings import Settings

__all__ = ["run"]

TASKS: Final = 50
SHARE: Final = 10
"""Many tasks make so many times the calls of one in a round, for they are done sooner."""

Call = Callable[[Any], Awaitable[Any]]
Inputs = Callable[[int], list[Any]]


@dataclass(frozen=True)
class Pair:
    """Two sides of a comparison; each is given its inputs, which are made before the clock starts."""

    name: str
    against: str
    bare_inputs: Inputs
    bare: Call
    our_inputs: Inputs
    ours: Call
    tasks: int = 1
    per_call: int = 1
    at_most: float | None = None
    at_least: float | None = None


@section("async")
def run(bench: Bench) -> Found:
    """Calls of one task and of fifty, held against redis.asyncio with as many."""
    load_scripts(bench.url)
    return Found(asyncio.run(_rows(bench)))


async def _rows(bench: Bench) -> list[Row]:
    bare: Any = redis.asyncio.Redis.from_url(bench.url, decode_responses=True)
    store = AsyncSessionStore(model=BenchSession, settings=Settings(redis_url=bench.url), tenant="bench-async")
    try:
        ids = [each.id for each in await store.create_many([FIELDS] * 1000, ttl=3600)]
        return [await _measured(pair, bench.rounds, bench.calls) for pair in _pairs(store, bare, ids)]
    finally:
        await store.close()
        await bare.aclose()


def _pairs(store: AsyncSessionStore[BenchSession], bare: Any, ids: list[str]) -> Iterator[Pair]:
    commands = Commands(store)
    turn = itertools.cycle(ids)

    def some(count: int) -> list[str]:
        return [next(turn) for _ in range(count)]

    async def send(command: Any) -> None:
        await bare.execute_command(*command)

    async def pipelined_gets(batch: list[str]) -> None:
        async with bare.pipeline(transaction=False) as pipe:
            for key in batch:
                pipe.hgetall(key)
            await pipe.execute()

    async def create(fields: dict[str, Any]) -> None:
        await store.create(ttl=3600, **fields)

    async def update(session_id: str) -> None:
        await store.update(session_id, **CHANGES)

    sides: dict[str, tuple[Inputs, Call, Inputs, Call]] = {
        "get": (lambda n: commands.get(some(n)), bare.hgetall, some, store.get),
        "create": (commands.create, send, lambda n: [FIELDS] * n, create),
        "update": (lambda n: commands.update(some(n)), send, some, update),
        "touch": (lambda n: commands.touch(some(n)), send, some, store.touch),
    }
    aims = {"get": 4.5, "create": 5.0, "update": 5.0}
    for name, side in sides.items():
        what = "HGETALL" if name == "get" else "EVALSHA of the same"
        yield Pair(
            f"async {name}, 1 task", f"redis.asyncio, bare {what}", *side, at_most=1.0 if name == "get" else None
        )
        yield Pair(
            f"async {name}, {TASKS} tasks", f"redis.asyncio, bare {what}, {TASKS} tasks", *side, tasks=TASKS,
            at_least=aims.get(name),
        )  # fmt: skip
    yield Pair(
        f"async get_many, {BATCH}", "a pipeline of bare HGETALL",
        lambda n: [commands.get(some(BATCH)) for _ in range(n)],
        pipelined_gets, lambda n: [some(BATCH) for _ in range(n)], store.get_many, per_call=BATCH, at_most=1.2,
    )  # fmt: skip


async def _measured(pair: Pair, rounds: int, calls: int) -> Row:
    """Time both sides in turn; a ratio of times for one task, of rates for many."""
    count = max(5, calls * (SHARE if pair.tasks > 1 else 1) // pair.per_call)
    bare, ours = [], []
    for index in range(rounds + 1):
        first = await _timed(pair.bare, pair.bare_inputs(count), pair.tasks) / count / pair.per_call
        second = await _timed(pair.ours, pair.our_inputs(count), pair.tasks) / count / pair.per_call
        if index:  # the first round warms up, and opens the connections
            bare.append(first)
            ours.append(second)
    many = pair.tasks > 1
    return Row(
        pair.name, pair.against, [a / b if many else b / a for a, b in zip(bare, ours, strict=True)],
        TIMES_ITS_RATE if many else OF_ITS_TIME, pair.at_most, pair.at_least,
        {"ours, us": statistics.median(ours) * 1e6, "bare, us": statistics.median(bare) * 1e6},
    )  # fmt: skip


async def _timed(call: Call, inputs: list[Any], tasks: int) -> float:
    rest = iter(inputs)

    async def work() -> None:
        for each in rest:
            await call(each)

    started = time.perf_counter()
    if tasks == 1:
        await work()
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(work())
    return time.perf_counter() - started
