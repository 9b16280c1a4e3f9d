"""Clients that write until told to stop, and keep their own record of what was acknowledged."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import redis
from tests.drivers import Blocking
from tests.faults.deployment import session_keys
from tests.store.examples import JobSession

from sojourn import AsyncSessionStore, SessionStore, StoreUnavailable
from sojourn.settings import Settings

__all__ = ["Written", "loaded", "settle_account"]


class Written:
    """One session, and what its writer knows of it."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.version = 1
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []


class Load:
    """What all writers together know."""

    def __init__(self) -> None:
        self.sessions: list[Written] = []
        self.errors: Counter[str] = Counter()
        self.unexpected: list[BaseException] = []
        self.longest_call_s = 0.0

    @property
    def acknowledged(self) -> int:
        """How many writes were."""
        return sum(1 + len(each.acknowledged) for each in list(self.sessions))


@contextmanager
def loaded(settings: Settings, kinds: Sequence[str] = ("sync", "sync", "sync")) -> Iterator[Load]:
    """Have threads create, append to and update sessions for as long as the block lasts.

    Args:
        settings: of their stores.
        kinds: one thread for each, with a `sync` or an `async` store.
    """
    load, stop = Load(), threading.Event()

    def work(number: int, kind: str) -> None:
        with _opened(settings, kind) as base:
            store = base.for_tenant(f"writer{number}")
            while not stop.is_set():
                try:
                    _write_one(store, load, number)
                except StoreUnavailable as error:
                    load.errors[type(error).__name__] += 1
                    stop.wait(0.01)
                except Exception as error:  # noqa: BLE001 - the test tells which there may be
                    load.unexpected.append(error)

    threads = [threading.Thread(target=work, args=each) for each in enumerate(kinds)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


@contextmanager
def _opened(settings: Settings, kind: str) -> Iterator[SessionStore[JobSession]]:
    if kind == "sync":
        with SessionStore(model=JobSession, settings=settings) as store:
            yield store
        return
    loop = asyncio.new_event_loop()
    twin = Blocking(AsyncSessionStore(model=JobSession, settings=settings), loop)
    try:
        yield cast("SessionStore[JobSession]", twin)
    finally:
        twin.close()
        loop.close()


def _write_one(store: SessionStore[JobSession], load: Load, number: int) -> None:
    made = _timed(load, lambda: store.create(owner=f"owner{number}", tags=["load"], ttl=3600))
    written = Written(made.id)
    load.sessions.append(written)
    for turn in range(8):
        token = f"{written.id}-{turn}"
        _try(load, written, token, lambda text=token: store.append(written.id, JobSession.lines, text))  # type: ignore[misc]
    _try(load, written, "queue", lambda: store.update(written.id, queue="mail"))


def _try(load: Load, written: Written, token: str, call: Callable[[], Any]) -> None:
    try:
        _timed(load, call)
    except StoreUnavailable:
        written.unknown.append(token)
        raise
    written.acknowledged.append(token)


def _timed(load: Load, call: Callable[[], Any]) -> Any:
    began = time.monotonic()
    try:
        return call()
    finally:
        load.longest_call_s = max(load.longest_call_s, time.monotonic() - began)


def settle_account(
    client: redis.Redis, settings: Settings, load: Load, *, trimmed: bool = False
) -> tuple[int, int, int]:
    """Hold the writers' record against Redis: how many writes were lost, doubled, and applied by half.

    Every write counts the version up by one, appends what it brought, and tells one event; so the three must agree.

    Args:
        client: of the Redis, decoding.
        settings: tell the partitions.
        load: the writers' record.
        trimmed: whether workers were there, who trim the outbox; then the events are not compared.
    """
    events: Counter[str] = Counter()
    for partition in settings.all_partitions:
        entries: Any = client.xrange(partition.events)
        events.update(fields["id"] for _, fields in entries)
    records: dict[str, dict[str, str]] = {}
    logs: dict[str, list[str]] = {}
    for key in session_keys(client):
        if ":writer" not in key:
            continue
        session_id = key.rpartition(":")[2]
        found: Any = client.hgetall(key)
        entries = client.lrange(key.replace(":session:", ":log:") + ":lines", 0, -1)
        records[session_id], logs[session_id] = found, [each.strip('"') for each in entries]
    lost = doubled = half = 0
    for written in load.sessions:
        record, lines = records.get(written.id), Counter(logs.get(written.id, ()))
        if record is None:
            lost += 1 + len(written.acknowledged)
            continue
        tokens = [each for each in written.acknowledged if each != "queue"]
        lost += sum(lines[each] == 0 for each in tokens)
        lost += "queue" in written.acknowledged and record["queue"] != "mail"
        doubled += sum(count - 1 for count in lines.values())
    for session_id, record in records.items():
        version = 1 + len(logs[session_id]) + (record["queue"] == "mail")
        half += int(record["version"]) != version or not (trimmed or events[session_id] == version)
    return lost, doubled, half
