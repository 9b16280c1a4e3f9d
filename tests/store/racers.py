"""What the processes of the race tests do. A module of its own, so that a fresh process can import it."""

from __future__ import annotations

import threading
from typing import Any

from tests.store.examples import JobSession

from sojourn import LimitExceeded, SessionEnded, SessionNotFound, SessionStore, Settings, VersionConflict

__all__ = ["CLIENTS", "create_at_once", "end_or_write", "race"]

CLIENTS = 7
"""Of each process that creates."""


def race(url: str, session_id: str, last: int, me: int, start: Any, results: Any) -> None:
    """Write against every version from 1 on; report the ones won, and the conflicts that told no later version."""
    won, odd = [], 0
    with SessionStore(model=JobSession, settings=Settings(redis_url=url)) as store:
        store.get(session_id)
        start.wait(60)
        version = 1
        while version <= last:
            try:
                version = store.update(session_id, version=version, note=f"{me}").version
                won.append(version - 1)
            except VersionConflict as error:
                odd += error.current_version <= version
                version = error.current_version
    results.put((me, won, odd))


def end_or_write(url: str, session_id: str, me: int, start: Any, results: Any) -> None:
    """Increment until the session is gone; process 0 ends it in the middle."""
    counted = 0
    with SessionStore(model=JobSession, settings=Settings(redis_url=url)) as store:
        store.get(session_id)
        start.wait(60)
        try:
            while True:
                store.increment(session_id, attempts=1)
                counted += 1
                if me == 0 and counted == 50:
                    store.complete(session_id)
        except (SessionEnded, SessionNotFound):
            pass
    results.put((me, counted, 0))


def create_at_once(url: str, turns: int, me: int, start: Any, results: Any) -> None:
    """Create by several clients, each a thread with a store of its own; report how many were, and how many not."""
    made: list[str] = []
    refused: list[str] = []
    ready = threading.Barrier(CLIENTS, action=lambda: start.wait(60))

    def create(number: int) -> None:
        with SessionStore(model=JobSession, settings=Settings(redis_url=url)) as store:
            store.usage()
            ready.wait(60)
            for _ in range(turns):
                try:
                    made.append(store.create(owner=f"o{number}").id)
                except LimitExceeded as error:
                    refused.append(error.limit)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    results.put((me, len(made), len(refused)))
