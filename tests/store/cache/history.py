"""Writers and cached readers, each in a thread of its own with a store of its own, and what they noted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.store.examples import JobSession

from sojourn import Cache, SessionStore, VersionConflict

__all__ = ["LEAST", "MAX_STALE_S", "Notes", "Read", "Write", "begin_together", "readers", "writers"]

MAX_STALE_S = 1.0
LEAST = 30
"""So often each writer writes at least, be the machine ever so busy."""
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Write:
    """An acknowledged write; times are of a clock that all processes share."""

    session_id: str
    version: int
    note: str
    acknowledged_s: float


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader was given."""

    reader: str
    session_id: str
    version: int
    note: str | None
    began_s: float


@dataclass
class Notes:
    """What the threads of a process noted."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    hits: int = 0
    flushes: int = 0

    def add(self, other: Notes) -> None:
        """Add another process's."""
        self.writes += other.writes
        self.reads += other.reads
        self.hits += other.hits
        self.flushes += other.flushes


_together: list[Any] = []


def begin_together(barrier: Any) -> None:
    """Have a process's work begin when that of the others does."""
    _together.append(barrier)


def writers(url: str, ids: list[str], name: str, count: int, seconds: float) -> Notes:
    """Write by several threads, each through a cache of its own, in which it reads what it wrote."""
    ends_s = _ends_s(seconds)

    def work(notes: Notes, who: str) -> None:
        turn = 0
        with SessionStore(url, model=JobSession, cache=Cache(max_stale=MAX_STALE_S)) as store:
            while (now_s := time.monotonic()) < ends_s or (len(notes.writes) < LEAST and now_s < ends_s + PATIENCE_S):
                turn += 1
                session_id, note = ids[turn % len(ids)], f"{who}/{turn}"
                try:
                    version = None if turn % 2 else store.get(session_id).version
                    written = store.update(session_id, version=version, note=note)
                except VersionConflict:
                    continue
                notes.writes.append(Write(session_id, written.version, note, time.monotonic()))
                began_s = time.monotonic()
                found = store.get(session_id)
                notes.reads.append(Read(who, session_id, found.version, found.note, began_s))
                assert found.version >= written.version, f"{who} does not read its own write"
                time.sleep(0.002)
            notes.flushes += store.cache.flushes if store.cache else 0

    return _threads(work, name, count)


def readers(url: str, ids: list[str], name: str, count: int, seconds: float) -> Notes:
    """Read by several threads; every tenth read is noted, and each that finds another state than the one before."""
    ends_s = _ends_s(seconds)

    def work(notes: Notes, who: str) -> None:
        turn, last = 0, dict.fromkeys(ids, 0)
        with SessionStore(url, model=JobSession, cache=Cache(max_stale=MAX_STALE_S)) as store:
            while (began_s := time.monotonic()) < ends_s:
                turn += 1
                session_id = ids[turn % len(ids)]
                found = store.get(session_id)
                if turn % 10 == 0 or found.version != last[session_id]:
                    notes.reads.append(Read(who, session_id, found.version, found.note, began_s))
                last[session_id] = found.version
                if turn % 50 == 0:
                    time.sleep(0.001)
            assert store.cache
            notes.hits += store.cache.hits
            notes.flushes += store.cache.flushes

    return _threads(work, name, count)


def _ends_s(seconds: float) -> float:
    _together[0].wait(60)
    return time.monotonic() + seconds


def _threads(work: Callable[[Notes, str], None], name: str, count: int) -> Notes:
    all_notes, failures = [Notes() for _ in range(count)], []

    def guarded(notes: Notes, who: str) -> None:
        try:
            work(notes, who)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=guarded, args=(each, f"{name}{n}")) for n, each in enumerate(all_notes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    whole = Notes()
    for each in all_notes:
        whole.add(each)
    return whole
