"""One of the load's processes: sends calls at their planned times, and remembers what was acknowledged."""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import load_check
from load_histogram import Histogram
from load_session import TENANT, Known, LoadSession, fields
from sojourn import AsyncSessionStore
from sojourn.errors import SessionEnded, SessionNotFound, SojournError, StoreUnavailable, TokenInvalid
from sojourn.settings import Settings

__all__ = ["Plan", "Told", "run", "share"]

_FILL: Final = 500
_IN_A_ROW: Final = 50
"""Late calls that are begun before what is under way gets its turn."""
_REFUSALS: Final = (SessionEnded, SessionNotFound, TokenInvalid)
_DRAIN_S: Final = 60.0
_START_S: Final = 600.0
_barrier: Any = None


@dataclass(frozen=True)
class Plan:
    """What one process has to do."""

    settings: Settings
    process: int
    rates: Mapping[str, float]
    """Calls per second by operation; of creates: batches."""
    live: int
    seconds: float
    batch: int = 1
    """Sessions that one create makes."""


@dataclass
class Told:
    """What became of it."""

    planned: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    """Of calls that came after the session's end: as it must be."""
    failed: Counter[str] = field(default_factory=Counter)
    """By operation and error."""
    latencies: dict[str, Histogram] = field(default_factory=dict)
    created: int = 0
    unsure_creates: int = 0
    ended: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """What Redis does not have as it was acknowledged, in words, and how often."""
    took_s: float = 0.0


def share(barrier: Any) -> None:
    """Make the barrier at which the processes wait for one another known; called in each of them first."""
    global _barrier  # it can only be inherited
    _barrier = barrier


def run(plan: Plan) -> Told:
    """Fill, wait for the others, send the calls, and hold what is in Redis against what was acknowledged."""
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Told:
    async with AsyncSessionStore(model=LoadSession, settings=plan.settings, tenant=TENANT) as store:
        caller = _Caller(store, plan)
        await caller.fill()
        gc.collect()
        gc.freeze()  # what the load itself remembers is not what a service would walk again and again
        await asyncio.to_thread(_barrier.wait, _START_S)
        started = time.monotonic()
        await caller.drive(started)
        caller.told.took_s = time.monotonic() - started
    caller.told.lost = load_check.lost(plan.settings, caller.known)
    return caller.told


def schedule(rates: Mapping[str, float], seconds: float, turn: random.Random) -> Iterator[tuple[float, str]]:
    """Seconds from the start, and what is called then: as many callers come who know nothing of one another."""
    coming = [(turn.expovariate(rate), name) for name, rate in rates.items() if rate]
    heapq.heapify(coming)
    while coming and coming[0][0] < seconds:
        at, name = coming[0]
        yield at, name
        heapq.heapreplace(coming, (at + turn.expovariate(rates[name]), name))


class _Caller:
    def __init__(self, store: AsyncSessionStore[LoadSession], plan: Plan) -> None:
        self._store = store
        self._plan = plan
        self._turn = random.Random(plan.process)  # noqa: S311 - the same load in each run
        self._number = 0
        self._under_way = 0
        self._live: list[str] = []
        self._tokens: deque[tuple[str, str]] = deque(maxlen=1_000)
        self.known: dict[str, Known] = {}
        self.told = Told(latencies={name: Histogram() for name in plan.rates})

    async def fill(self) -> None:
        """Have as many live sessions as planned."""
        while len(self._live) < self._plan.live:
            await self._create_some(min(_FILL, self._plan.live - len(self._live)))

    async def drive(self, started: float) -> None:
        """Begin each call when it is planned, whatever became of those before; wait for all of them."""
        in_a_row = 0
        try:
            async with asyncio.timeout(self._plan.seconds + _DRAIN_S), asyncio.TaskGroup() as calls:
                for at, name in schedule(self._plan.rates, self._plan.seconds, self._turn):
                    wait_s = started + at - time.monotonic()
                    in_a_row += 1
                    if wait_s > 0 or in_a_row >= _IN_A_ROW:
                        await asyncio.sleep(max(0.0, wait_s))
                        in_a_row = 0
                    calls.create_task(self._timed(name, started + at))
        except TimeoutError:
            self.told.failed["calls that were not over a minute after the end"] += self._under_way

    async def _timed(self, name: str, planned: float) -> None:
        self.told.planned[name] += 1
        self._under_way += 1
        if await self._called(name):
            self.told.done[name] += 1
        self._under_way -= 1
        self.told.latencies[name].add(int((time.monotonic() - planned) * 1e6))

    async def _called(self, name: str) -> bool:
        if name == "create":
            return await self._created()
        if name == "list":
            return await self._listed()
        if name == "verify":
            return await self._verified()
        session_id = self._leaving() if name == "end" else self._turn.choice(self._live)
        known = self.known[session_id]
        try:
            await getattr(self, f"_{name}")(session_id, known)
        except _REFUSALS as error:
            return self._refused(name, known, error)
        except SojournError as error:
            known.unsure += isinstance(error, StoreUnavailable)
            return self._failed(name, error)
        return True

    def _refused(self, name: str, known: Known, error: SojournError) -> bool:
        if not known.ending:
            return self._failed(name, error)
        self.told.refused[name] += 1
        return True

    def _failed(self, name: str, error: Exception) -> bool:
        self.told.failed[f"{name}: {type(error).__name__}"] += 1
        return False

    # What is called

    async def _created(self) -> bool:
        try:
            await self._create_some(self._plan.batch)
        except SojournError as error:
            self.told.unsure_creates += self._plan.batch
            return self._failed("create", error)
        return True

    async def _create_some(self, count: int) -> None:
        given = [fields(self._plan.process, self._number + index) for index in range(count)]
        self._number += count
        store = self._store
        made = [await store.create(**given[0])] if count == 1 else await store.create_many(given)
        self.told.created += count
        for session in made:
            self.known[session.id] = Known(session.owner or "")
            self._live.append(session.id)

    def _leaving(self) -> str:
        """One of the live sessions, which nobody chooses from now on."""
        index = self._turn.randrange(len(self._live))
        self._live[index], self._live[-1] = self._live[-1], self._live[index]
        session_id = self._live.pop()
        self.known[session_id].ending = True
        return session_id

    async def _end(self, session_id: str, known: Known) -> None:
        how = (self._store.complete, self._store.terminate, self._store.delete)[self.told.planned["end"] % 3]
        await how(session_id)
        known.version += 1
        known.ended = True
        self.told.ended += 1

    async def _get(self, session_id: str, known: Known) -> None:
        acknowledged = known.version
        session = await self._store.get(session_id)
        if session.version < acknowledged:
            self.told.lost["older than what was acknowledged before it was read"] += 1

    async def _update(self, session_id: str, known: Known) -> None:
        await self._store.update(session_id, step=self.told.planned["update"], region=self._turn.choice(("eu", "us")))
        known.version += 1

    async def _touch(self, session_id: str, known: Known) -> None:
        del known
        await self._store.touch(session_id)

    async def _increment(self, session_id: str, known: Known) -> None:
        await self._store.increment(session_id, hits=1)
        known.version += 1
        known.hits += 1

    async def _record(self, session_id: str, known: Known) -> None:
        await self._store.mcp.record_tool_execution(session_id, tool="search", duration=0.05, arguments={"q": "x"})
        known.version += 1
        known.executions += 1

    async def _issue(self, session_id: str, known: Known) -> None:
        del known
        pair = await self._store.tokens.issue(session_id)
        self._tokens.append((session_id, pair.access))

    async def _listed(self) -> bool:
        owner = self.known[self._turn.choice(self._live)].owner
        try:
            await self._store.list(owner=owner, limit=20)
        except SojournError as error:
            return self._failed("list", error)
        return True

    async def _verified(self) -> bool:
        if not self._tokens:
            return True
        session_id, token = self._turn.choice(self._tokens)
        try:
            found = await self._store.tokens.verify(token)
        except _REFUSALS as error:
            return self._refused("verify", self.known[session_id], error)
        except SojournError as error:
            return self._failed("verify", error)
        if found.id != session_id:
            self.told.lost["another session than the token's"] += 1
        return True
