"""What there is to tune: calls over TCP and a Unix socket, with short and long listpacks, alone and in batches."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from shutil import which
from typing import Any, Final

import redis

from bench_calls import CHANGES, FIELDS, BenchSession, Pair, measure, row
from bench_registry import Bench, Found, Row, section
from sojourn import SessionStore
from sojourn.embedded import RedisServer
from sojourn.settings import Settings

__all__ = ["run"]

SESSIONS: Final = 1_000
NAMES: Final = ("this", "that")
BATCHES: Final = (10, 100, 500)


@section("tuning")
def run(bench: Bench) -> Found:
    """What a Unix socket, longer listpacks and batches do for a call."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sojourn-bench-")))
        socket = folder / "socket"
        server = RedisServer.start(
            folder / "redis",
            executable=bench.options.redis or which("redis-server"),
            options={"unixsocket": str(socket)},
        )
        stack.enter_context(server)

        def store(url: str, tenant: str) -> SessionStore[BenchSession]:
            settings = Settings(redis_url=url)
            return stack.enter_context(SessionStore(model=BenchSession, settings=settings, tenant=tenant))

        tcp, unix = store(server.url, "tuning"), store(f"unix://{socket}", "tuning")
        some = _turn(tcp)
        pairs = [
            (Pair("get through a Unix socket", some, tcp.get, some, unix.get), "TCP on the same machine"),
            (Pair("update through a Unix socket", some, _update(tcp), some, _update(unix)), "TCP on the same machine"),
        ]
        with redis.Redis.from_url(server.url) as client:
            client.config_set(str(next(iter(client.config_get("hash-max-*-value")))), 1024)
        packed = store(server.url, "packed")
        some_packed = _turn(packed)
        shorter = "the same at 64, as Redis is delivered"
        pairs += [
            (Pair("get, hash-max-listpack-value 1024", some, tcp.get, some_packed, packed.get), shorter),
            (Pair("update, hash-max-listpack-value 1024", some, _update(tcp), some_packed, _update(packed)), shorter),
        ]
        rows = [row(measure(pair, bench.rounds, bench.calls), against, names=NAMES) for pair, against in pairs]
        rows += [_batched(tcp, some, size, bench) for size in BATCHES]
    return Found(rows)


def _turn(store: SessionStore[BenchSession]) -> Callable[[int], list[Any]]:
    turn = itertools.cycle([each.id for each in store.create_many([FIELDS] * SESSIONS, ttl=3600)])
    return lambda count: [next(turn) for _ in range(count)]


def _update(store: SessionStore[BenchSession]) -> Callable[[str], Any]:
    return lambda session_id: store.update(session_id, **CHANGES)


def _batched(store: SessionStore[BenchSession], some: Callable[[int], list[Any]], size: int, bench: Bench) -> Row:
    def each_alone(ids: list[str]) -> None:
        for one in ids:
            store.get(one)

    def batches(count: int) -> list[Any]:
        return [some(size) for _ in range(count)]

    pair = Pair(f"get_many of {size}, a session", batches, each_alone, batches, store.get_many, size)
    return row(measure(pair, bench.rounds, bench.calls), "as many gets, one after the other", names=NAMES)
