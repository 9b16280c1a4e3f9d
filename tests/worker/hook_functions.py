"""Hooks that the tests name in settings. They tell through Redis what they saw."""

from __future__ import annotations

import asyncio
import json
import os
import time

import redis

from sojourn import Session
from sojourn.events import Event
from sojourn.settings import load_settings

__all__ = [
    "cancel_on_marked",
    "die",
    "eat_on_marked",
    "fail_on_marked",
    "hang_on_marked",
    "leak",
    "record",
    "record_async",
    "record_other",
    "record_slowly",
    "wait_once",
]


_EATEN: list[bytes] = []


def _client() -> redis.Redis:
    return redis.Redis.from_url(load_settings().redis_url, decode_responses=True)


def record(event: Event, session: Session | None) -> None:
    """Tell of the event and of what the session looked like."""
    seen = None if session is None else {"status": session.status.value, "owner": session.owner}
    with _client() as client:
        client.rpush("effects", json.dumps({"event": event.id, "session": event.session_id, "seen": seen}))


async def record_async(event: Event, session: Session | None) -> None:
    """Do the same as a coroutine that has to wait."""
    await asyncio.sleep(0)
    record(event, session)


def record_other(event: Event, session: Session | None) -> None:
    """Tell another list."""
    with _client() as client:
        client.rpush("others", json.dumps({"event": event.id}))


def record_slowly(event: Event, session: Session | None) -> None:
    """Take a while for each event."""
    time.sleep(0.05)
    record(event, session)


def fail_on_marked(event: Event, session: Session | None) -> None:
    """Raise for sessions in the set `marked`, with a message that must not be logged."""
    with _client() as client:
        if client.sismember("marked", event.session_id):
            client.incr("failures")
            raise ValueError("the secret is 12345")
    record(event, session)


def die(event: Event, session: Session | None) -> None:
    """End the process for sessions in the set `marked`."""
    with _client() as client:
        if client.sismember("marked", event.session_id):
            client.incr("deaths")
            os._exit(7)
    record(event, session)


def hang_on_marked(event: Event, session: Session | None) -> None:
    """Take for ever for sessions in the set `marked`."""
    with _client() as client:
        if client.sismember("marked", event.session_id):
            client.incr("hangs")
            time.sleep(60)
    record(event, session)


def eat_on_marked(event: Event, session: Session | None) -> None:
    """Take all the memory there is, and keep it, for sessions in the set `marked`."""
    with _client() as client:
        if client.sismember("marked", event.session_id):
            client.incr("meals")
            while len(_EATEN) < 2_000:  # MB, for the sake of machines on which no bound holds
                _EATEN.append(bytes(2**20))
            client.set("sated", 1)
    record(event, session)


def leak(event: Event, session: Session | None) -> None:
    """Keep 30 MB of each event."""
    _EATEN.append(bytes(30 * 2**20))
    record(event, session)


def cancel_on_marked(event: Event, session: Session | None) -> None:
    """Raise what is no Exception for sessions in the set `marked`."""
    with _client() as client:
        if client.sismember("marked", event.session_id):
            raise asyncio.CancelledError
    record(event, session)


def wait_once(event: Event, session: Session | None) -> None:
    """Take for ever at the third event that any process sees, but at no later one."""
    with _client() as client:
        if client.incr("calls") == 3:
            client.set("waiting", os.getpid())
            time.sleep(60)
    record(event, session)
