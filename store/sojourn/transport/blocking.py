"""The synchronous transport: each thread holds one connection of redis-py's pool."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from redis import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry

from sojourn.operations.core import Command, Operation
from sojourn.settings import Settings
from sojourn.transport import policy

__all__ = ["Transport"]


class _Held:
    """A thread's connection. It goes back to the pool when the thread ends, but never from a forked child."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pid = 0  # nothing is held yet
        self.connection: Any = pool.get_connection()
        self.pool = pool
        self.pid = os.getpid()
        self.reader = policy.reply_reader()

    def __del__(self) -> None:
        if self.pid == os.getpid():
            self.pool.release(self.connection)


class Transport:
    """Sends operations and reads their replies; tries again on a fresh connection where one broke.

    Args:
        settings: where Redis is, and how long to wait for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        try:
            self._pool = ConnectionPool.from_url(
                settings.redis_url,
                max_connections=settings.max_connections,
                **policy.connection_options(settings, Retry),
            )
            self._pool.connection_class(**self._pool.connection_kwargs)  # it checks its options; connects to nothing
        except (ValueError, TypeError):
            raise policy.invalid_url(settings) from None
        self._local = threading.local()

    def execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        """The replies to each operation's commands, error replies among them as values.

        Raises:
            StoreUnavailable: no reply in all attempts.
        """
        found: list[list[Any]] = []
        for batch in policy.batches(operations):
            found += self._execute(batch)
        return found

    def _execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        flat = self._send([command for operation in operations for command in operation.commands])
        replies = policy.dealt(operations, flat)
        unknown = policy.without_script(operations, replies)
        if unknown:
            again = self._send(policy.with_source([operations[index] for index in unknown]))
            for index, reply in zip(unknown, again, strict=True):
                replies[index][-1] = reply
        return replies

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        packed = policy.pack(commands)
        started_s = time.monotonic()
        for attempt in itertools.count():
            try:
                return self._exchange(packed, len(commands))
            except policy.BROKEN as error:
                if policy.is_last(self._settings, error, attempt, started_s):
                    raise policy.unavailable(self._settings, error, attempt + 1) from error
            except RedisError as error:
                raise policy.refused(self._settings, error) from error
            time.sleep(policy.pause_before(attempt))
        raise AssertionError("unreachable")

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        held = getattr(self._local, "held", None)
        if held is None or held.pid != os.getpid():
            held = self._local.held = _Held(self._pool)
        connection, reader = held.connection, held.reader
        try:
            sock = connection._sock  # noqa: SLF001
            if sock is None:
                connection.connect()
                sock = connection._sock  # noqa: SLF001
                reader = held.reader = policy.reply_reader()
            sock.sendall(packed)
            replies: list[Any] = []
            while len(replies) < count:
                reply = reader.gets()
                if reply is policy.MORE:
                    data = sock.recv(policy.READ_BYTES)
                    if not data:
                        raise ConnectionResetError("Redis closed the connection")  # noqa: TRY301
                    reader.feed(data)
                else:
                    replies.append(reply)
        except BaseException:
            # Replies may be outstanding; the next user of the connection must not read them.
            connection.disconnect()
            raise
        return replies

    def close(self) -> None:
        """Close all connections; the transport opens new ones if it is used again."""
        self._local = threading.local()
        self._pool.disconnect()
