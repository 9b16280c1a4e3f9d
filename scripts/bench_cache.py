"""The near cache: how fast it answers, how long what it answers is old, and what it costs those who write."""

from __future__ import annotations

import asyncio
import selectors
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis

from bench_calls import FIELDS, BenchSession
from sojourn import AsyncSessionStore, Cache, SessionStore
from sojourn.settings import Settings

__all__ = ["run"]

_HITS: Final = 200_000
_UPDATES: Final = 2_000
_CHANGES: Final = 1_000
_LISTENERS: Final = (0, 1, 8, 50)
_PATIENCE_S: Final = 10.0


def run(url: str, rounds: int) -> dict[str, Any]:
    """Measure all of it.

    Args:
        url: of the Redis.
        rounds: of each; medians are told.
    """
    settings = Settings(redis_url=url, tenant="cache")
    with SessionStore(model=BenchSession, settings=settings) as plain:
        session_id = plain.create(**FIELDS, ttl=3600).id
        found = {
            "sync": _sync(settings, session_id, rounds),
            "async": asyncio.run(_async(settings, session_id, rounds)),
        }
        return {
            "hits_per_s": {name: {"process": each[0], "wall": each[1]} for name, each in found.items()},
            "staleness_us": _staleness(settings, plain, session_id),
            "writers": _writers(url, plain, session_id, rounds),
        }


def _sync(settings: Settings, session_id: str, rounds: int) -> tuple[float, float]:
    with SessionStore(model=BenchSession, settings=settings, cache=Cache()) as store:
        _until(lambda: store.get(session_id) is store.get(session_id))
        get, figures = store.get, []
        for _ in range(rounds):
            began, cpu = time.perf_counter(), time.process_time()
            for _ in range(_HITS):
                get(session_id)
            figures.append((_HITS / (time.process_time() - cpu), _HITS / (time.perf_counter() - began)))
    return _medians(figures)


async def _async(settings: Settings, session_id: str, rounds: int) -> tuple[float, float]:
    async with AsyncSessionStore(model=BenchSession, settings=settings, cache=Cache()) as store:
        ends_s = time.monotonic() + _PATIENCE_S
        while await store.get(session_id) is not await store.get(session_id):
            if time.monotonic() > ends_s:
                raise TimeoutError("the cache holds nothing")
            await asyncio.sleep(0.01)
        get, figures = store.get, []
        for _ in range(rounds):
            began, cpu = time.perf_counter(), time.process_time()
            for _ in range(_HITS):
                await get(session_id)
            figures.append((_HITS / (time.process_time() - cpu), _HITS / (time.perf_counter() - began)))
    return _medians(figures)


def _medians(figures: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(each for each, _ in figures), statistics.median(each for _, each in figures)


def _staleness(settings: Settings, writer: SessionStore[Any], session_id: str) -> dict[str, float]:
    """From the moment when a write is acknowledged to that when the cache knows, where nothing else runs."""
    lags, known, at = [], threading.Event(), [0.0]
    with SessionStore(model=BenchSession, settings=settings, cache=Cache()) as store:
        table: Any = store._shared.near._table  # type: ignore[union-attr]  # noqa: SLF001
        real = table.told

        def told(keys: Any) -> None:
            real(keys)
            at[0] = time.perf_counter()
            known.set()

        table.told = told
        _until(lambda: store.get(session_id) is store.get(session_id))
        for number in range(_CHANGES):
            known.clear()
            writer.update(session_id, notes=f"note {number}")
            acknowledged = time.perf_counter()
            if not known.wait(_PATIENCE_S):
                raise TimeoutError("a change was not told")
            lags.append(max(0.0, at[0] - acknowledged) * 1e6)
    lags.sort()
    return {"p50": lags[len(lags) // 2], "p99": lags[len(lags) * 99 // 100], "most": lags[-1]}


def _writers(url: str, store: SessionStore[Any], session_id: str, rounds: int) -> list[dict[str, float]]:
    """What an update costs with so many caches that listen: its time, and what the server works for it."""
    rows: dict[int, list[tuple[float, float]]] = {each: [] for each in _LISTENERS}
    with redis.Redis.from_url(url) as client:
        for _ in range(rounds):
            for count in _LISTENERS:
                with _listeners(url, count):
                    cpu, began = _server_s(client), time.perf_counter()
                    for number in range(_UPDATES // rounds + 1):
                        store.update(session_id, notes=f"note {number}")
                    took, work = time.perf_counter() - began, _server_s(client) - cpu
                    done = _UPDATES // rounds + 1
                    rows[count].append((took / done * 1e6, work / done * 1e6))
    return [
        {
            "listeners": count,
            "update_us": statistics.median(each for each, _ in found),
            "server_us": statistics.median(each for _, each in found),
        }
        for count, found in rows.items()
    ]


def _server_s(client: Any) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


@contextmanager
def _listeners(url: str, count: int) -> Iterator[None]:
    """So many connections to which Redis tells all changes; what comes is thrown away."""
    pool = redis.ConnectionPool.from_url(url, protocol=3)
    lines: list[Any] = [pool.make_connection() for _ in range(count)]
    stop = threading.Event()
    with selectors.DefaultSelector() as selector:
        for line in lines:
            line.connect()
            line.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "sojourn:")
            line.read_response()
            selector.register(line._sock, selectors.EVENT_READ)  # noqa: SLF001

        def drain() -> None:
            while not stop.is_set():
                for key, _ in selector.select(0.05):
                    key.fileobj.recv(65_536)  # type: ignore[union-attr]

        thread = threading.Thread(target=drain, daemon=True)
        if lines:
            thread.start()
        yield
        stop.set()
        if lines:
            thread.join()
    for line in lines:
        line.disconnect()


def _until(condition: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > ends_s:
            raise TimeoutError("the cache holds nothing")
        time.sleep(0.01)
