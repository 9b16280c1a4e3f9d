"""What `scripts/bench --peers` says to the process of a session store, line by line in JSON, and what that answers.

First comes ``{"redis": URL, "postgres": URL or "", "payload": {...}, "changes": {...}, "sessions": N, "clients": N}``:
make N sessions of that payload, and one more for each client to update; the answer is ``{"ready": {...}}`` with the
versions of what is used. Each further line is ``{"do": "get", "update" or "save", "clients": N, "seconds": S}``: so
many clients each do that over and over for so long; the answer is ``{"calls": N, "seconds": S}``. The end of the input
is the end.

Clients of a `Threaded` store are threads, those of a `Tasked` one tasks of one event loop: as its users run it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, TextIO

__all__ = ["Tasked", "Threaded", "serve"]


class _Adapter:
    """What both kinds have."""

    packages: tuple[str, ...] = ()
    """Whose versions are told."""


class Threaded(_Adapter, ABC):
    """A session store whose calls block."""

    @abstractmethod
    def begin(self, told: dict[str, Any]) -> list[str]:
        """Make the sessions; return the ids of those to get."""

    @abstractmethod
    def get(self, session_id: str) -> None:
        """Read a session into what its users see."""

    @abstractmethod
    def update(self, client: int) -> None:
        """Change this client's session, of which it knows the id and no more."""

    @abstractmethod
    def save(self, client: int) -> None:
        """Write changes of this client's session, which it has read before: the write alone."""


class Tasked(_Adapter, ABC):
    """A session store whose calls are awaited."""

    @abstractmethod
    async def begin(self, told: dict[str, Any]) -> list[str]:
        """Make the sessions; return the ids of those to get."""

    @abstractmethod
    async def get(self, session_id: str) -> None:
        """Read a session into what its users see."""

    @abstractmethod
    async def update(self, client: int) -> None:
        """Change this client's session, of which it knows the id and no more."""

    @abstractmethod
    async def save(self, client: int) -> None:
        """Write changes of this client's session, which it has read before: the write alone."""


def serve(adapter: Threaded | Tasked, commands: TextIO = sys.stdin, answers: TextIO = sys.stdout) -> None:
    """Answer until the input ends."""

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    versions = {name: version(name) for name in adapter.packages}
    told = json.loads(commands.readline())
    if isinstance(adapter, Threaded):
        turn = itertools.cycle(adapter.begin(told))
        answer(ready=versions)
        # The same threads all along: some stores keep a connection for each.
        with ThreadPoolExecutor(told["clients"]) as pool:
            for line in commands:
                answer(**_in_threads(adapter, turn, json.loads(line), pool))
    else:
        with asyncio.Runner() as runner:
            turn = itertools.cycle(runner.run(adapter.begin(told)))
            answer(ready=versions)
            for line in commands:
                answer(**runner.run(_in_tasks(adapter, turn, json.loads(line))))


def _in_threads(
    adapter: Threaded, turn: Iterator[str], order: dict[str, Any], pool: ThreadPoolExecutor
) -> dict[str, float]:
    clients, call, is_get = order["clients"], getattr(adapter, order["do"]), order["do"] == "get"
    begin = threading.Barrier(clients)

    def work(client: int) -> int:
        begin.wait()
        until, done = time.perf_counter() + order["seconds"], 0
        while time.perf_counter() < until:
            call(next(turn) if is_get else client)
            done += 1
        return done

    started = time.perf_counter()
    counts = list(pool.map(work, range(clients)))
    return {"calls": sum(counts), "seconds": time.perf_counter() - started}


async def _in_tasks(adapter: Tasked, turn: Iterator[str], order: dict[str, Any]) -> dict[str, float]:
    call, is_get = getattr(adapter, order["do"]), order["do"] == "get"
    started = time.perf_counter()
    until = started + order["seconds"]

    async def work(client: int) -> int:
        done = 0
        while time.perf_counter() < until:
            await call(next(turn) if is_get else client)
            done += 1
        return done

    counts = await asyncio.gather(*(work(client) for client in range(order["clients"])))
    return {"calls": sum(counts), "seconds": time.perf_counter() - started}
