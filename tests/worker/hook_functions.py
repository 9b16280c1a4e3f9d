"""Hooks that the tests name in settings. They tell through Redis what they saw."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import redis

from sojourn import Session
from sojourn.events import Event
from sojourn.settings import load_settings

__all__ = [
    "cancel_on_marked",
    "die",
    "eat_on_marked",
    "fail_on_marked",
    "generate",
    "generate_unseen",
    "hang_on_marked",
    "kill_worker",
    "leak",
    "record",
    "record_async",
    "record_other",
    "record_slowly",
    "spawn",
    "tell_interrupted",
    "tell_late",
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


def generate(event: Event, session: Session | None) -> Iterator[None]:
    """Do nothing when called, for it yields."""
    record(event, session)
    yield


def generate_unseen(event: Event, session: Session | None) -> object:
    """Return what does nothing."""
    return generate(event, session)


def kill_worker(event: Event, session: Session | None) -> None:
    """End the worker, and with it this process, for sessions in the set `marked`."""
    with _client() as client:
        if client.sismember("marked", event.session_id):
            client.incr("kills")
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
    record(event, session)


def tell_late(event: Event, session: Session | None) -> None:
    """Take for ever while handling an error that holds a secret."""
    try:
        int("the secret is 12345")
    except ValueError:
        time.sleep(60)


def tell_interrupted(event: Event, session: Session | None) -> None:
    """Raise what ends programs, with a secret."""
    raise KeyboardInterrupt("the secret is 12345")


def spawn(event: Event, session: Session | None) -> None:
    """Wait a second, and start programs that have to end by SIGTERM."""
    with _client() as client:
        client.set("begun", os.getpid())
    time.sleep(1)
    with subprocess.Popen(["/bin/sleep", "60"]) as program:
        program.terminate()
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    forked.start()
    forked.terminate()
    forked.join()
    record(event, session)


def tell_in_the_log(event: Event, session: Session | None) -> None:
    """Log a warning of one's own."""
    logging.getLogger("myapp.hooks").warning("told by a hook")
