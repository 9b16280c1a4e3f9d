"""Library calls against the same commands through redis-py, single and batched, by one client that waits for each.

The bare side is redis-py as one uses it by hand: a client with its own pool and its default protocol, replies decoded
into text. Its gets are `HGETALL` into a dict, without a model; its writes are `EVALSHA` of the very script and
arguments that the library sends, made before the clock starts. Its batches are pipelines of the same without MULTI.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, Final

import redis

from bench_registry import Bench, Found, Row, section
from sojourn import AsyncSessionStore, Indexed, Session, SessionStore
from sojourn.operations import read, write
from sojourn.operations.core import Command
from sojourn.scripts import script
from sojourn.settings import Settings

__all__ = ["BATCH", "CHANGES", "FIELDS", "BenchSession", "Commands", "Pair", "load_scripts", "measure", "row", "run"]

BATCH = 100
ASKED: Final = {
    "get": 0.75,
    "create": 0.8,
    "update": 0.75,
    "touch": 0.75,
    f"get_many, {BATCH}": 1.2,
    f"create_many, {BATCH}": 1.2,
    f"update_many, {BATCH}": 1.2,
}
"""How many times the bare side's time each may take."""


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


def row(
    found: dict[str, Any], against: str, at_most: float | None = None, names: tuple[str, str] = ("ours", "bare")
) -> Row:
    """What `measure` found, as a row; `names` are those of the two sides."""
    details = {f"{names[0]}, us": found["ours_us"], f"{names[1]}, us": found["bare_us"]}
    return Row(found["name"], against, found["ratios"], at_most=at_most, details=details)


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


@section("calls")
def run(bench: Bench) -> Found:
    """Single and batched calls of one client, held against redis-py's pool."""
    rows = []
    bare: Any = redis.Redis.from_url(bench.url, decode_responses=True)
    settings = Settings(redis_url=bench.url)
    with closing(bare), SessionStore(model=BenchSession, settings=settings, tenant="bench") as store:
        load_scripts(bench.url)
        for pair, against in _pairs(store, bare):
            rows.append(row(measure(pair, bench.rounds, bench.calls), against, ASKED[pair.name]))
    return Found(rows)


def _pairs(store: SessionStore[BenchSession], bare: Any) -> list[tuple[Pair, str]]:
    """Both sides, and what ours is held against."""
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

    def send(command: Command) -> None:
        bare.execute_command(*command)

    hgetall, evalsha = "redis-py's pool, bare HGETALL into a dict", "redis-py's pool, bare EVALSHA of the same"
    return [
        (Pair("get", lambda n: commands.get(some(n)), bare.hgetall, some, store.get), hgetall),
        (Pair("create", commands.create, send, lambda n: [FIELDS] * n, lambda f: store.create(ttl=3600, **f)), evalsha),
        (Pair("update", lambda n: commands.update(some(n)), send, some, lambda i: store.update(i, **CHANGES)), evalsha),
        (Pair("touch", lambda n: commands.touch(some(n)), send, some, store.touch), evalsha),
        (Pair(f"get_many, {BATCH}", chunks(lambda n: commands.get(some(n))), pipelined_gets, chunks(some),
              store.get_many, BATCH), "a pipeline of bare HGETALL"),
        (Pair(f"create_many, {BATCH}", chunks(commands.create), pipelined, chunks(lambda n: [FIELDS] * n),
              lambda batch: store.create_many(batch, ttl=3600), BATCH), "a pipeline of the same EVALSHA"),
        (Pair(f"update_many, {BATCH}", chunks(lambda n: commands.update(some(n))), pipelined, chunks(some),
              lambda batch: store.update_many(dict.fromkeys(batch, CHANGES)), BATCH), "a pipeline of the same EVALSHA"),
    ]  # fmt: skip
