"""The sessions that a near cache holds, and which reads may still be put into it. No input or output happens here.

A read is answered without a lock: it looks an entry up, and holds it against two moments. All else is done under one.
The handler of a signal may use the store in the middle of that: so no step relies on what a former one found.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from typing import Any, Final

from sojourn.cache.clock import CLOCK, WHICH, RedisClock
from sojourn.cache.settings import Cache, CacheInfo

__all__ = ["ID_LENGTH", "Counts", "Entry", "Table", "info_of"]

NEVER: Final = float("-inf")
ID_LENGTH: Final = 36
"""How many characters a session id has, which a record's key ends with."""
_REMEMBERED: Final = 4_096
"""Of so many changes it is known which sessions they were of, for reads that are under way."""
_LOOKED_AT: Final = 8
_MOST_LOOKED_AT: Final = 1_000
"""So many at the beginning of the queue are looked at when one has to leave."""


@dataclass(slots=True, eq=False)
class Entry:
    """A session that was read."""

    session: Any
    prefix: str
    """What its key begins with: it tells the tenant."""
    until_s: float
    """The moment of `CLOCK` from which on it is to be read from Redis."""
    used_s: float
    bytes: int
    stamp: tuple[float, int]
    """Each state of a session has its own, and they are in order: ADR 6."""
    queued_s: float
    """Which use of it is the one by which it has its place in the queue."""


@dataclass(slots=True)
class Counts:
    """What happened; an operation on one of them is atomic where Python has its lock, and else nearly exact."""

    hits: int = 0
    misses: int = 0
    invalidations: int = 0
    evictions: int = 0
    flushes: int = 0


def info_of(
    counts: Counts, sessions: int = 0, size: int = 0, *, tracking: bool = False, problem: str = ""
) -> CacheInfo:
    """What is told of a cache; without more than its counts, of one that is gone."""
    return CacheInfo(**asdict(counts), sessions=sessions, bytes=size, tracking=tracking, problem=problem)


@dataclass(eq=False)
class Table:
    """Entries by session id.

    Two tenants' sessions may have the same id, for who knows one may create nothing under it, but a restore can: the
    entry is then the one's that was read last.
    """

    limits: Cache
    entries: OrderedDict[str, Entry] = field(default_factory=OrderedDict)
    trusted_until_s: float = NEVER
    """The moment of `CLOCK` up to which all changes are known that were made `max_stale` before."""
    counts: Counts = field(default_factory=Counts)
    tracked: set[str] = field(default_factory=set)
    """The beginnings of keys of whose changes Redis tells."""
    problem: str = ""

    def __post_init__(self) -> None:
        self._clock = RedisClock(self.limits.max_stale)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Hold nothing, with a lock that nobody has: in the child of a fork, whose parent goes on with its own."""
        self._lock = threading.RLock()
        for each in fields(self.counts):
            setattr(self.counts, each.name, 0)
        self._bytes = 0
        # A count of all that ever ended what a read could have found; the last of each session; and the one up to which
        # those are no longer known.
        self._turn = self._forgotten = self._connection = 0
        self._turns: OrderedDict[str, int] = OrderedDict()
        self.problem = ""
        self.lost("")

    # Reads that go to Redis

    def token(self, prefix: str) -> int | None:
        """What a read notes before it is sent, to be put here later; None: it cannot be."""
        self.counts.misses += 1
        token = self._turn  # first: should tracking end and begin again meanwhile, it is an old one
        return token if prefix in self.tracked else None

    def keep(
        self, prefix: str, token: int, session: Any, size: int, stamp: tuple[float, int], until_ms: float | None
    ) -> bool:
        """Hold what a read found, if nothing has ended it since its token, and nothing newer is held.

        What cannot be held ends other reads that are under way: they may have found what is older, and whoever asked
        here has seen this.

        Args:
            prefix: what its key begins with.
            token: what the read noted before it was sent.
            session: what it found.
            size: the bytes of the record.
            stamp: of that state.
            until_ms: by Redis's clock, when it is to be read again; None: never.
        """
        session_id = session.id
        with self._lock:
            held = self.entries.get(session_id)
            if held is not None and held.prefix == prefix and held.stamp > stamp:
                return False
            now_s = CLOCK(WHICH)
            until_s = float("inf") if until_ms is None else self._clock.local_s(until_ms)
            late = self._is_over(prefix + session_id, token) or prefix not in self.tracked
            if late or until_s <= now_s or size > self.limits.max_bytes:
                self._end(prefix, session_id)
                return False
            self._take(session_id)
            self.entries[session_id] = Entry(session, prefix, until_s, now_s, size, stamp, now_s)
            self._bytes += size
            while len(self.entries) > self.limits.max_sessions or self._bytes > self.limits.max_bytes:
                self._evict(session_id)
            return True

    def seen(self, prefix: str, session_id: str, stamp: tuple[float, int]) -> None:
        """Somebody has seen that state by other ways: what is older is not held."""
        entry = self.entries.get(session_id)
        if entry is not None and entry.prefix == prefix and entry.stamp < stamp:
            self.end((prefix + session_id,))

    # What ends entries

    def told(self, keys: Iterable[str]) -> None:
        """Redis tells that these were changed."""
        with self._lock:
            for key in keys:
                self.counts.invalidations += 1
                self._end(key[:-ID_LENGTH], key[-ID_LENGTH:])

    def end(self, keys: Iterable[str]) -> None:
        """These were changed by this very store."""
        with self._lock:
            for key in keys:
                self._end(key[:-ID_LENGTH], key[-ID_LENGTH:])

    def clear(self) -> None:
        """Hold nothing, and nothing that was read until now."""
        with self._lock:
            self._clear()

    # Whether Redis tells

    def connected(self) -> int:
        """A new connection is about to tell; what its number is. What an earlier one says of itself counts no more."""
        self.lost("")
        return self._connection

    def track(self, connection: int, prefix: str) -> None:
        """From now on Redis tells of the changes to what begins so."""
        with self._lock:
            if connection == self._connection:
                self.tracked.add(prefix)

    def heard(self, connection: int, asked_s: float, came_s: float, told_ms: float) -> None:
        """Redis told its time, and so all changes that it had acknowledged before that was asked for."""
        with self._lock:
            if connection != self._connection:
                return
            if not self._clock.learn(asked_s, came_s, told_ms):
                self._clear()
            self.trusted_until_s = asked_s + self.limits.max_stale

    def lost(self, problem: str) -> bool:
        """Redis tells of nothing any more; whether that is news. `problem`: why; '' where it was meant to be."""
        with self._lock:
            is_news = bool(problem) and (bool(self.tracked) or problem != self.problem)
            self._connection += 1
            self.trusted_until_s = NEVER
            self.tracked.clear()
            self._clock.reset()
            self._clear()
            self.problem = problem or self.problem
            return is_news

    @property
    def info(self) -> CacheInfo:
        """How it fares."""
        with self._lock:
            is_told = self.trusted_until_s > CLOCK(WHICH)
            return info_of(self.counts, len(self.entries), self._bytes, tracking=is_told, problem=self.problem)

    # With the lock

    def _is_over(self, key: str, token: int) -> bool:
        return token < self._forgotten or self._turns.get(key, 0) > token

    def _end(self, prefix: str, session_id: str) -> None:
        self._take(session_id, prefix)
        self._turn += 1
        key = prefix + session_id
        self._turns.pop(key, None)
        self._turns[key] = self._turn
        if len(self._turns) > _REMEMBERED:
            _, self._forgotten = self._turns.popitem(last=False)

    def _take(self, session_id: str, prefix: str | None = None) -> None:
        entry = self.entries.get(session_id)
        if entry is not None and (prefix is None or entry.prefix == prefix):
            taken = self.entries.pop(session_id, None)
            self._bytes -= 0 if taken is None else taken.bytes

    def _clear(self) -> None:
        self._turn += 1
        self._forgotten = self._turn
        self._turns.clear()
        self._bytes = 0
        if self.entries:
            self.entries.clear()
            self.counts.flushes += 1

    def _evict(self, but: str) -> None:
        """Let one leave: of the first few in the queue, or more where those were all used, the one used longest ago.

        Who was used since he came into the queue goes to its end.
        """
        looked_at: list[tuple[str, Entry]] = []
        while len(looked_at) < _MOST_LOOKED_AT:
            few = [each for each in self._first(_LOOKED_AT + 1) if each[0] != but][:_LOOKED_AT]
            looked_at += few
            used = [(session_id, each) for session_id, each in few if each.used_s > each.queued_s]
            for session_id, each in used:
                each.queued_s = each.used_s
                with suppress(KeyError):
                    self.entries.move_to_end(session_id)
            if len(used) < len(few):
                break
        if not looked_at:
            return
        leaves, entry = min(looked_at, key=lambda each: each[1].used_s)
        self.counts.evictions += 1
        self._end(entry.prefix, leaves)

    def _first(self, count: int) -> list[tuple[str, Entry]]:
        while True:
            with suppress(RuntimeError):  # the handler of a signal came in between
                return list(islice(self.entries.items(), count))
