"""A hook that notes each of its calls before anything else, and in which process: so repeated calls can be judged."""

from __future__ import annotations

import json
import time
from collections import defaultdict

import psutil  # type: ignore[import-untyped]
import redis
from tests.faults.hook_functions import record

from sojourn import Session
from sojourn.events import Event
from sojourn.settings import load_settings

__all__ = ["record_noted", "repeated"]

_BEGUN = "begun"


def record_noted(event: Event, session: Session | None) -> None:
    """Note the call, then have the effect of `record` somewhere in 20 ms of work."""
    this = psutil.Process()  # a process id alone may come again
    with redis.Redis.from_url(load_settings().redis_url) as client:
        client.rpush(_BEGUN, json.dumps([f"{this.pid} {this.create_time()}", event.id]))
    time.sleep(0.01)
    record(event, session)
    time.sleep(0.01)


def repeated(client: redis.Redis) -> tuple[int, int]:
    """How many calls were repeated though their process had gone on to another event, and how many others were.

    A process that takes its next event in hand has the one before in the ledger, in the same round trip; from then on
    no kill excuses that the hook is called for it again. Only the last call of a process may have to be repeated.
    """
    calls_of: dict[str, list[str]] = defaultdict(list)
    processes_of: dict[str, list[str]] = defaultdict(list)
    for raw in client.lrange(_BEGUN, 0, -1):
        process, event_id = json.loads(raw)
        calls_of[process].append(event_id)
        processes_of[event_id].append(process)
    again = [(event_id, each) for event_id, found in processes_of.items() for each in found[:-1]]
    excusable = sum(calls_of[process][-1] == event_id for event_id, process in again)
    return len(again) - excusable, excusable
