"""Counts of a process's calls, sent to Redis from time to time, where a worker's ``/metrics`` finds them."""

from __future__ import annotations

import atexit
import os
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from sojourn.cache.view import CacheView
from sojourn.counts import CACHE, CACHE_COUNTS, CALL_BOUNDS_US
from sojourn.errors import InvalidInput, SojournError, StoreUnavailable
from sojourn.operations.core import new_operation_id
from sojourn.settings import Settings
from sojourn.telemetry.observing import LOG, Call, Ended, Observer, Outcome

if TYPE_CHECKING:
    from sojourn.client import SessionStore

__all__ = ["ADDED_AT_ONCE", "ToRedis"]

_TENANTS: Final = 1_000
"""Tenants whose counts are kept at a time; those of further ones are dropped, and that is told."""
_REMEMBERED_S: Final = 25.0
"""For a little longer than that Redis knows what it has counted: see lua/include/operation.lua."""
ADDED_AT_ONCE: Final = 200
"""Counts that one script adds: some millisecond of Redis."""
_ENDS: Final = tuple(str(each) for each in (*CALL_BOUNDS_US, "inf"))
_LIVE: Final[WeakSet[ToRedis]] = WeakSet()


@dataclass
class _Batch:
    """Counts of one tenant on their way."""

    counts: dict[str, int]
    operation: str = field(default_factory=new_operation_id)
    sent_s: float = field(default_factory=time.monotonic)


@dataclass
class _Cache:
    """A near cache, and what was told of it."""

    view: CacheView
    told: dict[str, int] = field(default_factory=dict)

    def news(self) -> dict[str, int]:
        """What it did since this was last asked."""
        info, told = self.view.info, self.told
        self.told = {name: getattr(info, name) for name in CACHE_COUNTS}
        more = {name: count - told.get(name, 0) for name, count in self.told.items()}
        return {f"{CACHE}|{name}": count for name, count in more.items() if count > 0}


class ToRedis(Observer):
    """Counts calls by operation, result and duration in this process, and adds them to the tenant's counts in Redis.

    They are sent every `interval` seconds by a thread of its own, when a store is closed, and when the process ends.
    Where Redis is away they wait for the next time. What was sent and not answered is sent again under the same id, and
    so counted once, if that is within 25 s; after that it may be counted twice. A process that is killed takes with it
    what it has not sent. Counts of a tenant that has never had a session are not kept.
    What near caches do is counted as well, with the tenant of the store that has one.

    Args:
        settings: where Redis is; None: as of the first store that it is given to.
        interval: seconds from one sending to the next.

    Raises:
        InvalidInput: the interval is no number, or two stores are on different Redis.

    Example:
        >>> store = SessionStore(observers=[ToRedis()])  # doctest: +SKIP
    """

    def __init__(self, settings: Settings | None = None, *, interval: float = 10.0) -> None:
        if type(interval) not in (int, float) or not 0.01 <= interval <= threading.TIMEOUT_MAX:
            raise InvalidInput("interval is a number of seconds from 0.01 on")
        self._interval_s = interval
        self._settings = settings
        self._store: SessionStore[Any] | None = None
        self._caches: list[_Cache] = []
        self._begin_anew()
        _LIVE.add(self)

    def _begin_anew(self) -> None:
        """With nothing to tell: a child of a fork leaves to its parent what that has counted."""
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._counts: dict[str, dict[str, int]] = {}
        self._batches: dict[str, _Batch] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped = False
        for each in self._caches:
            each.told = {}

    def cached(self, cache: CacheView) -> None:
        """Count what that cache does."""
        with self._lock:
            self._caches.append(_Cache(cache))

    def attach(self, settings: Settings) -> None:
        """A store on this Redis is going to tell it of its calls.

        Raises:
            InvalidInput: it counts for another one.
        """
        if self._settings is None:
            self._settings = settings
        elif self._settings.redis_url != settings.redis_url:
            raise InvalidInput("a ToRedis counts for stores on one Redis: give each Redis one of its own")

    def started(self, call: Call) -> Ended:
        """Count it when it ends."""
        return partial(self._count, call)

    def _count(self, call: Call, outcome: Outcome) -> None:
        took_us, name = round(outcome.duration_s * 1e6), call.operation
        within = _ENDS[bisect_left(CALL_BOUNDS_US, took_us)]
        added = ((f"{name}|{outcome.result}", 1), (f"{name}|le|{within}", 1), (f"{name}|sum_us", took_us))
        with self._lock:
            counts = self._counts.get(call.tenant)
            if counts is None:
                if len(self._counts) >= _TENANTS:
                    self._drop()
                    return
                counts = self._counts[call.tenant] = {}
            for field_name, count in added:
                counts[field_name] = counts.get(field_name, 0) + count
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sojourn-telemetry", daemon=True)
                self._thread.start()

    def _drop(self) -> None:
        if not self._dropped:
            self._dropped = True
            LOG.warning("calls not counted", reason=f"they are of more than {_TENANTS} tenants at a time")

    def _run(self) -> None:
        stop = self._stop
        while not stop.wait(self._interval_s):
            self._send()

    def flush(self) -> None:
        """Send what there is, and rest until there is more."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
            self._stop = threading.Event()
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._interval_s)
        while self._send():
            pass
        with self._sending:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    def _send(self) -> bool:
        """Send what there is; whether there is more, counted since what waited was put together."""
        with self._sending:
            with self._lock:
                self._look_at_caches()
                if not self._counts and not self._batches:
                    return False
                for tenant in [each for each in self._counts if each not in self._batches]:
                    self._batches[tenant] = _Batch(self._counts.pop(tenant))
            for tenant, batch in list(self._batches.items()):
                try:
                    self._add(tenant, batch)
                except StoreUnavailable as error:
                    LOG.debug("counts of calls wait for Redis", error=error)
                    return False
                except SojournError as error:
                    LOG.warning("counts of calls refused", error=error, tenant=tenant)
                del self._batches[tenant]
            return bool(self._counts)

    def _add(self, tenant: str, batch: _Batch) -> None:
        if time.monotonic() - batch.sent_s > _REMEMBERED_S:
            batch.operation, batch.sent_s = new_operation_id(), time.monotonic()
        store, counts = self._own_store().for_tenant(tenant), list(batch.counts.items())
        for start in range(0, len(counts), ADDED_AT_ONCE):
            some = dict(counts[start : start + ADDED_AT_ONCE])
            store._run(partial(store._add_calls, some, f"{batch.operation}.{start}"))  # noqa: SLF001

    def _look_at_caches(self) -> None:
        for each in list(self._caches):
            gone, tenant = each.view.is_gone, each.view.tenant
            news = each.news()
            if news and (tenant in self._counts or len(self._counts) < _TENANTS):
                counts = self._counts.setdefault(tenant, {})
                for name, count in news.items():
                    counts[name] = counts.get(name, 0) + count
            if gone:
                self._caches.remove(each)

    def _own_store(self) -> SessionStore[Any]:
        if self._store is None:
            from sojourn.client import SessionStore

            given = Settings() if self._settings is None else self._settings
            # Not to count its own calls; and what cannot be sent now is sent the next time.
            self._store = SessionStore(settings=given.model_copy(update={"operation_metrics": False, "retries": 0}))
        return self._store


def _at_exit() -> None:
    for each in list(_LIVE):
        each.flush()


def _after_fork() -> None:
    for each in list(_LIVE):
        each._begin_anew()  # noqa: SLF001
        each._store = None  # noqa: SLF001 - its connections are the parent's


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
