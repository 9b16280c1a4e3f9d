"""Hooks that the fault tests name in settings. What they do, they do in Redis, where it is counted."""

from __future__ import annotations

import json
import os
import time

import redis

from sojourn import Session
from sojourn.events import Event
from sojourn.settings import load_settings

__all__ = ["calls", "effects", "hold", "linger", "poison", "record", "record_slowly"]


def _client() -> redis.Redis:
    return redis.Redis.from_url(load_settings().redis_url, decode_responses=True)


def record(event: Event, session: Session | None) -> None:
    """Have an effect: once per event, for it is known by the event's id. Every call is counted beside it."""
    seen = None if session is None else session.model_dump(mode="json")
    effect = json.dumps({"event": event.id, "type": event.type, "session": event.session_id, "seen": seen})
    with _client() as client, client.pipeline() as pipe:
        pipe.hsetnx("effects", event.id, effect)
        pipe.hincrby("calls", event.id, 1)
        pipe.execute()


def record_slowly(event: Event, session: Session | None) -> None:
    """Have the same effect, somewhere in 20 ms of work."""
    time.sleep(0.01)
    record(event, session)
    time.sleep(0.01)


def hold(event: Event, session: Session | None) -> None:
    """Take for ever while the key `hold` is there, and say where; have the same effect."""
    with _client() as client:
        if client.exists("hold"):
            client.set("holding", os.getpid())
            time.sleep(60)
    record(event, session)


def linger(event: Event, session: Session | None) -> None:
    """Take a second for each event, and say when it begins; have the same effect."""
    with _client() as client:
        client.set("holding", os.getpid())
    time.sleep(1)
    record(event, session)


def poison(event: Event, session: Session | None) -> None:
    """Do harm for sessions whose owner says which, while the key `harm` is there; else have the same effect."""
    with _client() as client:
        harm = session.owner if session is not None and client.exists("harm") else None
        if harm in _HARMS:
            seconds, micros = client.time()
            client.rpush(f"harm:{harm}", f"{seconds}.{micros:06}")
            _HARMS[harm]()
    record(event, session)


def _raise() -> None:
    raise ValueError("the secret is 12345")


def _eat() -> None:
    eaten: list[bytes] = []
    while len(eaten) < 2_000:  # MB, for the sake of machines on which no bound holds
        eaten.append(bytes(2**20))


_HARMS = {"raises": _raise, "hangs": lambda: time.sleep(600), "exits": lambda: os._exit(7), "eats": _eat}


def effects(client: redis.Redis) -> list[dict[str, object]]:
    """All effects that there are, each as the hook saw its event."""
    return [json.loads(each) for each in client.hvals("effects")]


def calls(client: redis.Redis) -> dict[str, int]:
    """How often the hook was called for each event."""
    return {str(event_id): int(count) for event_id, count in client.hgetall("calls").items()}
