"""The thread that listens to what Redis tells a near cache.

The asynchronous store has the same: a read that the cache answers lets nobody else run on the event loop, so a task on
it would hear of nothing while such reads follow each other.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import threading
import weakref
from typing import Any, Final

from redis.exceptions import RedisError
from redis.retry import Retry

from sojourn import redis_urls
from sojourn.cache.listening import Listening
from sojourn.cache.table import Table
from sojourn.logs import Log
from sojourn.settings import Settings
from sojourn.transport import policy
from sojourn.transport.stand_in import stand_in_for

__all__ = ["Tracker"]

LOG: Final = Log("sojourn.cache")
_MOST_PREFIXES: Final = 64
"""Each makes each write a little dearer for Redis; sessions of further tenants are not held."""
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_JOIN_S: Final = 5.0
_LIVE: Final[weakref.WeakSet[Tracker]] = weakref.WeakSet()


class Tracker:
    """Starts the thread when it is first needed, and ends it.

    Args:
        settings: where Redis is.
        table: told of all that Redis tells.
    """

    def __init__(self, settings: Settings, table: Table) -> None:
        self._settings = settings
        self._table = table
        self._is_able = stand_in_for(settings.redis_url) is None
        self._inherited: list[_Follower] = []
        self._begin_anew()
        _LIVE.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.RLock()  # the handler of a signal may use the store, too
        self._follower: _Follower | None = None

    def want(self, prefix: str) -> None:
        """Have Redis tell of the changes to all keys that begin so, soon."""
        follower = self._follower
        if (follower is not None and prefix in follower.wanted and follower.is_alive()) or not self._is_able:
            return
        with self._lock:
            if self._follower is None or not self._follower.is_alive():
                made = _Follower(self._settings, self._table)
                weakref.finalize(self, made.stop).atexit = False
                made.start()
                self._follower = made
            self._follower.want(prefix)

    def close(self) -> None:
        """End it; it starts again where it is needed again."""
        with self._lock:
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()
            follower.join(_JOIN_S)

    def after_fork(self) -> None:
        """Leave the thread to the parent, whose connection closing anything would disturb."""
        if self._follower is not None:
            self._inherited.append(self._follower)
        self._begin_anew()
        self._table.begin_anew()


class _Follower(threading.Thread):
    def __init__(self, settings: Settings, table: Table) -> None:
        super().__init__(name="sojourn-cache", daemon=True)
        self._settings = settings
        self._table = table
        self.wanted: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        self._wakes, self._waker = socket.socketpair()
        self._waker.setblocking(False)

    def want(self, prefix: str) -> None:
        if len(self.wanted) < _MOST_PREFIXES:
            self.wanted |= {prefix}
            self._wake()

    def stop(self) -> None:
        self._stopping.set()
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is about to wake anyway, or has ended
            self._waker.send(b"\0")

    def run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        with self._wakes, self._waker:
            while not self._stopping.is_set():
                connection: Any = None
                try:
                    connection = self._connect()
                    self._follow(connection._sock)  # noqa: SLF001
                except (*policy.BROKEN, RedisError) as error:
                    if self._table.info.tracking:
                        pause_s = _FIRST_PAUSE_S
                    self._complain(error)
                finally:
                    if connection is not None:
                        connection.disconnect()
                self._stopping.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    def _connect(self) -> Any:
        options = policy.connection_options(self._settings, Retry) | {"client_name": "sojourn-cache"}
        connection: Any = redis_urls.pool(self._settings.redis_url, **options).make_connection()
        connection.connect()
        return connection

    def _follow(self, sock: Any) -> None:
        if self._stopping.is_set():  # another thread may listen by now, whose connection is the one that counts
            return
        listening = Listening(self._table)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            selector.register(self._wakes, selectors.EVENT_READ)
            sock.sendall(listening.begin())
            while not self._stopping.is_set():
                if to_send := listening.due(self.wanted):
                    sock.sendall(to_send)
                for key, _ in selector.select(listening.wait_s):
                    if key.fileobj is self._wakes:
                        self._wakes.recv(policy.READ_BYTES)
                    else:
                        self._read(sock, listening)

    @staticmethod
    def _read(sock: Any, listening: Listening) -> None:
        pending = getattr(sock, "pending", int)  # of TLS: what was taken off the wire already
        while True:
            data = sock.recv(policy.READ_BYTES)
            if not data:
                raise ConnectionResetError("Redis closed the connection")
            listening.feed(data)
            if not pending():
                return

    def _complain(self, error: Exception) -> None:
        """Once for as long as it lasts."""
        if self._stopping.is_set():
            return
        problem = str(error) or type(error).__name__
        if self._table.lost(problem):
            LOG.warning("cache lost touch", error=error)


def _after_fork() -> None:
    for each in list(_LIVE):
        each.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
