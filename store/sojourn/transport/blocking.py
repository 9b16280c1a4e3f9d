"""The synchronous transport: each call borrows one of a few connections, which redis-py makes."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, Final

from redis import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry

from sojourn import redis_urls
from sojourn.operations.core import Command, Operation
from sojourn.settings import Settings
from sojourn.transport import policy
from sojourn.transport.stand_in import stand_in_for

__all__ = ["Transport"]

_AT_ONCE: Final = 20
"""Commands of a batch that go out in one write."""
_LOOK_S: Final = 1.0
"""So often who waits for a connection looks himself: who is told may have a handler on top of him that waits, too."""


class _Line:
    """A connection and the parser of its replies."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._reader = policy.reply_reader()
        self._sock: Any = None
        self._number = -1
        """Of the socket, where the bytes on it are as they are sent; else -1."""
        self._in_step = True
        """Whether no replies are outstanding, as far as is certain."""

    def exchange(self, packed: bytes, count: int, rest: Sequence[Sequence[Command]] = ()) -> list[Any]:
        """Send commands and read `count` replies. `rest` are further ones, packed while Redis works on those before."""
        connection = self.connection
        try:
            sock = connection._sock  # noqa: SLF001
            if sock is not self._sock or sock is None or not self._in_step:
                sock = self._connect()
            self._in_step = False  # should a signal's handler raise while the connection is being closed below
            # A socket with a timeout asks first whether it may send. Nothing else is under way on this one, so it may.
            sent = os.write(self._number, packed) if self._number >= 0 else 0
            if sent < len(packed):
                sock.sendall(memoryview(packed)[sent:])
            for each in rest:
                sock.sendall(policy.pack(each))
            reader = self._reader
            replies: list[Any] = []
            while len(replies) < count:
                data = sock.recv(policy.READ_BYTES)
                if not data:
                    raise ConnectionResetError("Redis closed the connection")  # noqa: TRY301
                reader.feed(data)
                while (reply := reader.gets()) is not policy.MORE:
                    replies.append(reply)
            self._in_step = True
        except BaseException:
            # Replies may be outstanding; the next user of the connection must not read them.
            connection.disconnect()
            raise
        return replies

    def check_is_master(self, replies: list[Any]) -> None:
        """Ask sentinels anew where they are of a Redis that is a replica now; see `policy.check_is_master`."""
        try:
            policy.check_is_master(replies)
        except policy.BROKEN:
            self.connection.disconnect()
            raise

    def _connect(self) -> Any:
        self.connection.disconnect()  # where it is not certain that it is
        self.connection.connect()
        self._reader = policy.reply_reader()
        sock = self.connection._sock  # noqa: SLF001
        self._number = sock.fileno() if type(sock) is socket.socket else -1
        self._sock = sock  # last: a handler that raises before leaves a socket that is not the connection's
        return sock


class _Lines:
    """Connections to borrow, the one returned last first.

    A list's pop and append are atomic, so the usual path takes no lock; and a signal handler that uses the store in the
    middle of a call gets a connection of its own. One that is lost, since a handler raised before it could be given
    back, does not count once it is gone.
    """

    def __init__(self, pool: ConnectionPool, most: int) -> None:
        self._pool = pool
        self._most = most
        self.forks = policy.FORKS.count
        self.free: list[_Line] = []
        self._made: weakref.WeakSet[_Line] = weakref.WeakSet()
        self.waiting = 0
        self._lock = threading.RLock()
        self._returned = threading.Condition(self._lock)

    def borrow(self, timeout_s: float) -> _Line | None:
        """A connection; None if none was returned in time."""
        if self.waiting:  # they come first
            return self._make_or_wait(timeout_s)
        try:
            return self.free.pop()
        except IndexError:
            return self._make_or_wait(timeout_s)

    def _make_or_wait(self, timeout_s: float) -> _Line | None:
        deadline = time.monotonic() + timeout_s
        with self._lock:
            if len(self._made) < self._most:
                # The pool would count those that are gone, and has a limit of its own.
                line = _Line(self._pool.connection_class(**self._pool.connection_kwargs))
                self._made.add(line)
                return line
            is_behind = self.waiting > 0
            self.waiting += 1
            try:
                while True:
                    if self.free and not is_behind:
                        with contextlib.suppress(IndexError):  # another thread was quicker
                            return self.free.pop()
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        return None
                    is_behind = False
                    self._returned.wait(min(left_s, _LOOK_S))
            finally:
                self.waiting -= 1
                if self.waiting and self.free:
                    self._returned.notify()

    def give_back(self, line: _Line) -> None:
        """Let others have a connection: who has waited for longest, if anybody does."""
        self.free.append(line)
        if self.waiting:
            self.wake()

    def wake(self) -> None:
        """Tell who has waited for longest that a connection was given back."""
        with self._lock:
            self._returned.notify()

    def close(self) -> None:
        """Close those that nobody uses, and that nobody gets meanwhile."""
        idle = []
        with contextlib.suppress(IndexError):
            while True:
                idle.append(self.free.pop())
        for line in idle:
            line.connection.disconnect()
            self.give_back(line)


class Transport:
    """Sends operations and reads their replies; tries again on a fresh connection where one broke.

    Args:
        settings: where Redis is, and how long to wait for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._longest_s = policy.longest_s(settings)
        self._by_sentinel = redis_urls.by_sentinel(settings.redis_url)
        self._stand_in = stand_in_for(settings.redis_url)
        try:
            self._pool = redis_urls.pool(settings.redis_url, **policy.connection_options(settings, Retry))
            self._pool.connection_class(**self._pool.connection_kwargs)  # it checks its options; connects to nothing
        except (ValueError, TypeError):
            raise policy.invalid_url(settings) from None
        self._lines = self._new_lines()

    def _new_lines(self) -> _Lines:
        return _Lines(self._pool, self._settings.max_connections)

    def execute_one(self, operation: Operation[Any]) -> list[Any]:
        """The replies to the operation's commands, error replies among them as values.

        Raises:
            StoreUnavailable: no reply in all attempts.
        """
        commands = operation.commands
        replies = self._send(policy.pack(commands), len(commands))
        if operation.source is not None and policy.lacks_script(replies[-1]):
            replies[-1:] = self._send(policy.pack(policy.with_source([operation])), 1)
        return replies

    def execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        """The same for several, in one round trip."""
        found: list[list[Any]] = []
        for batch in policy.batches(operations):
            found += self._execute(batch)
        return found

    def _execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        commands = policy.gathered(operations)
        parts = [commands[start : start + _AT_ONCE] for start in range(0, len(commands), _AT_ONCE)]
        first = parts[0] if parts else []
        replies = policy.dealt(operations, self._send(policy.pack(first), len(commands), parts[1:]))
        unknown = policy.without_script(operations, replies)
        if unknown:
            commands = policy.with_source([operations[index] for index in unknown])
            again = self._send(policy.pack(commands), len(commands))
            for index, reply in zip(unknown, again, strict=True):
                replies[index][-1] = reply
        return replies

    def _send(self, packed: bytes, count: int, rest: Sequence[Sequence[Command]] = ()) -> list[Any]:
        started_s, patience_s = time.monotonic(), self._longest_s
        attempt = 0
        while True:
            lines = self._lines
            if lines.forks != policy.FORKS.count:  # the parent goes on using these
                lines = self._lines = self._new_lines()
            # `borrow` and `give_back`, spelled out for the usual case: each call comes here.
            try:
                line = lines.borrow(patience_s) if lines.waiting else lines.free.pop()
            except IndexError:
                line = lines.borrow(patience_s)
            if line is None:
                raise policy.crowded(self._settings, patience_s)
            try:
                if self._stand_in is None:
                    replies = line.exchange(packed, count, rest)
                else:
                    replies = self._stand_in.exchange(b"".join([packed, *map(policy.pack, rest)]), count)
                if self._by_sentinel:
                    line.check_is_master(replies)
            except policy.BROKEN as error:
                if policy.is_last(self._settings, error, attempt, started_s):
                    raise policy.unavailable(self._settings, error, attempt + 1) from error
            except RedisError as error:
                raise policy.refused(self._settings, error) from error
            else:
                return replies
            finally:
                lines.free.append(line)
                if lines.waiting:
                    lines.wake()
            time.sleep(policy.pause_before(attempt))
            attempt += 1
            patience_s = policy.patience_s(self._settings, started_s)

    def close(self) -> None:
        """Close the connections that are not in use; the transport opens them again if it is used again."""
        self._lines.close()
