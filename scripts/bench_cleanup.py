"""How long a thousand sessions take to clean up, and how long others wait meanwhile."""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import redis

from bench_calls import FIELDS, BenchSession
from sojourn import SessionStore
from sojourn.keys import TenantKeys
from sojourn.settings import Settings

__all__ = ["CASES", "run"]

CASES = ("inactive", "due")
_DAYS_MS = 10 * 86_400_000
_CALLS_PER_S = 1_000
"""Of the other client: a service at work, which does not take the machine for itself."""


def run(url: str, sessions: int, rounds: int) -> dict[str, Any]:
    """Seconds for `sessions`, inactive or overdue, and the p99 of another client's calls, in ratios to its idle one."""
    settings = Settings(redis_url=url, tenant="cleanup", events_cap=100)
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    results: dict[str, Any] = {"sessions": sessions}
    with contextlib.closing(client), SessionStore(model=BenchSession, settings=settings) as store:
        for case in CASES:
            taken, ratios, idle = [], [], []
            for _ in range(rounds):
                client.flushall()
                with _other(url, settings.tenant) as other:
                    _plant(client, store, sessions, case)
                    client.config_resetstat()
                    before = _p99(other, 1.0)
                    other.send("begin")
                    started = time.perf_counter()
                    report: Any = store.cleanup_inactive(86_400) if case == "inactive" else store.expire_due()
                    taken.append(time.perf_counter() - started)
                    other.send("end")
                    during = _last(other)
                    after = _p99(other, 1.0)
                if (report.ended if case == "inactive" else report.expired) != sessions:
                    raise RuntimeError(report)
                idle.append(statistics.mean((before, after)))
                ratios.append(during / idle[-1])
            results[case] = {
                "s": statistics.median(taken), "idle_p99_us": statistics.median(idle) * 1e6, "ratios": ratios,
            }  # fmt: skip
        client.flushall()
    return results


def _plant(client: Any, store: SessionStore[BenchSession], count: int, case: str) -> None:
    """Sessions of ten days ago, which nobody used since; with a deadline that has passed, or without one."""
    keys = TenantKeys.of(store.tenant, store.settings.partitions)
    seconds, _ = client.time()
    ttl, then = (86_400 if case == "due" else None), int(seconds) * 1000 - _DAYS_MS
    ids = []
    for done in range(0, count, 500):
        ids += [each.id for each in store.create_many([FIELDS] * min(500, count - done), ttl=ttl)]
    with client.pipeline(transaction=False) as pipe:
        for each in ids:
            pipe.hset(
                keys.session(each), mapping=dict.fromkeys(("created_at_ms", "updated_at_ms", "accessed_at_ms"), then)
            )
            pipe.zadd(keys.status_index("bench", "pending"), {each: then})
            if case == "due":
                pipe.hset(keys.session(each), "expires_at_ms", then + 1)
                pipe.zadd(keys.partition.deadlines, {keys.member(each): then + 1})
        pipe.execute()


@contextlib.contextmanager
def _other(url: str, tenant: str) -> Iterator[Connection]:
    """Another client, in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(url, tenant, theirs))
    process.start()
    try:
        ours.recv()  # that it is ready
        yield ours
    finally:
        ours.send("stop")
        process.join(10)


def _p99(other: Connection, seconds: float) -> float:
    other.send("begin")
    time.sleep(seconds)
    other.send("end")
    return _last(other)


def _last(other: Connection) -> float:
    found: list[float] = sorted(other.recv())
    return found[int(len(found) * 0.99)]


def _work(url: str, tenant: str, told: Connection) -> None:
    """Gets, and an update after four of them, at an even pace; from `begin` to `end` their durations are kept."""
    durations: list[float] = []
    with SessionStore(url, model=BenchSession, tenant=tenant) as store:
        session_id = store.create(ttl=3600, **FIELDS).id
        store.get(session_id)
        told.send("ready")
        due = time.perf_counter()
        while True:
            if told.poll():
                word = told.recv()
                if word == "stop":
                    return
                if word == "end":
                    told.send(durations)
                durations = []
            due = max(due + 1 / _CALLS_PER_S, time.perf_counter() - 0.1)
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            started = time.perf_counter()
            if len(durations) % 5 == 4:
                store.update(session_id, step=len(durations))
            else:
                store.get(session_id)
            durations.append(time.perf_counter() - started)
