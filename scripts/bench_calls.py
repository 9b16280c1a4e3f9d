"""Library calls against the same commands through redis-py, sync and async, single and batched."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import redis
import redis.asyncio

from sojourn import AsyncSessionStore, Indexed, Session, SessionStore
from sojourn.operations import read, write
from sojourn.operations.core import Command
from sojourn.scripts import script
from sojourn.settings import Settings

__all__ = ["FIELDS", "BenchSession", "async_rows", "measure", "sync_pairs"]

BATCH = 100


class BenchSession(Session, kind="bench"):
    """A session that is stored as a hash of 20 fields with 1,024 bytes of values."""

    region: Annotated[str, Indexed()] = "eu"
    step: int = 0
    score: float = 0.5
    notes: str = ""
    detail: str = ""


FIELDS: dict[str, Any] = {
    "owner": "ada",
    "client_type": "bench",
    "tags": ["one", "two"],
    "metadata": {"plan": "free", "limits": {"calls": 100, "bytes": 4096}, "flags": [1, 2, 3]},
    "region": "eu-west-1",
    "step": 1,
    "notes": "n" * 395,
    "detail": "d" * 395,
}
CHANGES: dict[str, Any] = {"owner": "grace", "region": "us-east-1", "step": 2}


@dataclass
class Pair:
    """Two sides of a comparison; each is given its inputs, which are made before the clock starts."""

    name: str
    bare_inputs: Callable[[int], list[Any]]
    bare: Callable[[Any], Any]
    our_inputs: Callable[[int], list[Any]]
    ours: Callable[[Any], Any]
    per_call: int = 1


def measure(pair: Pair, rounds: int, calls: int) -> dict[str, Any]:
    """Time both sides in turn; microseconds per session."""
    count = max(5, calls // pair.per_call)
    bare, ours = [], []
    for index in range(rounds + 1):
        first = _timed(pair.bare, pair.bare_inputs(count))
        second = _timed(pair.ours, pair.our_inputs(count))
        if index:  # the first round warms up
            bare.append(first / count / pair.per_call)
            ours.append(second / count / pair.per_call)
    return _row(pair.name, bare, ours)


def _row(name: str, bare: list[float], ours: list[float]) -> dict[str, Any]:
    return {
        "name": name,
        "bare_us": statistics.median(bare) * 1e6,
        "ours_us": statistics.median(ours) * 1e6,
        "ratios": [b / a for a, b in zip(bare, ours, strict=True)],
    }


def _timed(call: Callable[[Any], Any], inputs: Iterable[Any]) -> float:
    started = time.perf_counter()
    for each in inputs:
        call(each)
    return time.perf_counter() - started


class Commands:
    """The commands that the library would send, for the bare client to send."""

    def __init__(self, store: SessionStore[BenchSession] | AsyncSessionStore[BenchSession]) -> None:
        self._store = store
        self._context = store._context  # noqa: SLF001
        self._codec = store._codec  # noqa: SLF001

    def create(self, count: int) -> list[Command]:
        """Creates, each with an id of its own."""
        return [self._store._create(3600, None, FIELDS).commands[-1] for _ in range(count)]  # noqa: SLF001

    def update(self, ids: Iterable[str]) -> list[Command]:
        """Updates of two indexed fields and a plain one."""
        changes = self._codec.encode_changes(CHANGES, self._context.limits)
        return [write.update(self._context, self._codec, each, None, changes).commands[-1] for each in ids]

    def touch(self, ids: Iterable[str]) -> list[Command]:
        """Touches."""
        return [write.touch(self._context, BenchSession, each).commands[-1] for each in ids]

    def get(self, ids: Iterable[str]) -> list[str]:
        """The keys of records."""
        return [str(read.get(self._context, BenchSession, each).commands[0][1]) for each in ids]


def load_scripts(url: str) -> None:
    """Let Redis know the scripts, so that the bare client can call them by their SHA-1."""
    with redis.Redis.from_url(url) as client:
        for name in ("create_session", "update_session", "touch_session"):
            client.script_load(script(name).source)


def sync_pairs(url: str) -> list[Pair]:
    """The synchronous comparisons."""
    store = SessionStore(model=BenchSession, settings=Settings(redis_url=url), tenant="bench")
    bare: Any = redis.Redis.from_url(url, decode_responses=True)
    load_scripts(url)
    commands = Commands(store)
    ids = [each.id for each in store.create_many([FIELDS] * 1000, ttl=3600)]
    turn = itertools.cycle(ids)

    def some(count: int) -> list[str]:
        return [next(turn) for _ in range(count)]

    def chunks(make: Callable[[int], list[Any]]) -> Callable[[int], list[list[Any]]]:
        return lambda count: [make(BATCH) for _ in range(count)]

    def pipelined(batch: list[Command]) -> None:
        with bare.pipeline(transaction=False) as pipe:
            for command in batch:
                pipe.execute_command(*command)
            pipe.execute()

    def pipelined_gets(batch: list[str]) -> None:
        with bare.pipeline(transaction=False) as pipe:
            for key in batch:
                pipe.hgetall(key)
            pipe.execute()

    def run(command: Command) -> None:
        bare.execute_command(*command)

    return [
        Pair("get", lambda n: commands.get(some(n)), bare.hgetall, some, store.get),
        Pair("create", commands.create, run, lambda n: [FIELDS] * n, lambda f: store.create(ttl=3600, **f)),
        Pair("update", lambda n: commands.update(some(n)), run, some, lambda i: store.update(i, **CHANGES)),
        Pair("touch", lambda n: commands.touch(some(n)), run, some, store.touch),
        Pair(f"get_many, {BATCH}", chunks(lambda n: commands.get(some(n))), pipelined_gets, chunks(some),
             store.get_many, BATCH),
        Pair(f"create_many, {BATCH}", chunks(commands.create), pipelined, chunks(lambda n: [FIELDS] * n),
             lambda batch: store.create_many(batch, ttl=3600), BATCH),
        Pair(f"update_many, {BATCH}", chunks(lambda n: commands.update(some(n))), pipelined, chunks(some),
             lambda batch: store.update_many(dict.fromkeys(batch, CHANGES)), BATCH),
    ]  # fmt: skip


Call = Callable[[Any], Awaitable[Any]]


async def async_rows(url: str, rounds: int, calls: int) -> list[dict[str, Any]]:
    """Time the asynchronous comparisons: one task, and a batch."""
    store = AsyncSessionStore(model=BenchSession, settings=Settings(redis_url=url), tenant="bench-async")
    bare: Any = redis.asyncio.Redis.from_url(url, decode_responses=True)
    commands = Commands(store)
    ids = [each.id for each in await store.create_many([FIELDS] * 1000, ttl=3600)]
    turn = itertools.cycle(ids)

    def some(count: int) -> list[str]:
        return [next(turn) for _ in range(count)]

    async def run(command: Command) -> None:
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

    async def measured(name: str, make_bare: Any, bare_call: Call, make_ours: Any, our_call: Call, size: int) -> Any:
        count = max(5, calls // size)
        bare_s, ours_s = [], []
        for index in range(rounds + 1):
            times = []
            for make, call in ((make_bare, bare_call), (make_ours, our_call)):
                inputs = [make(size) for _ in range(count)] if size > 1 else make(count)
                started = time.perf_counter()
                for each in inputs:
                    await call(each)
                times.append((time.perf_counter() - started) / count / size)
            if index:
                bare_s.append(times[0])
                ours_s.append(times[1])
        return _row(name, bare_s, ours_s)

    try:
        return [
            await measured("async get", lambda n: commands.get(some(n)), bare.hgetall, some, store.get, 1),  # type: ignore[arg-type, unused-ignore]
            await measured("async create", commands.create, run, lambda n: [FIELDS] * n, create, 1),
            await measured("async update", lambda n: commands.update(some(n)), run, some, update, 1),
            await measured("async touch", lambda n: commands.touch(some(n)), run, some, store.touch, 1),
            await measured(
                f"async get_many, {BATCH}", lambda n: commands.get(some(n)), pipelined_gets, some, store.get_many, BATCH
            ),
        ]
    finally:
        await store.close()
        await bare.aclose()
