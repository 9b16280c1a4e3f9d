"""The asynchronous transport: operations borrow connections of redis-py's asynchronous pool."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.exceptions import RedisError

from sojourn.operations.core import Command, Operation
from sojourn.settings import Settings
from sojourn.transport import policy
from sojourn.transport.stand_in import stand_in_for

__all__ = ["AsyncTransport"]


class _Line:
    """A connection and the parser of its replies."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.reader = policy.reply_reader()

    async def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands and read as many replies."""
        connection, reader = self.connection, self.reader
        if not connection.is_connected:
            await connection.connect()
            reader = self.reader = policy.reply_reader()
        connection._writer.write(packed)  # noqa: SLF001
        await connection._writer.drain()  # noqa: SLF001
        incoming = connection._reader  # noqa: SLF001
        replies: list[Any] = []
        while len(replies) < count:
            reply = reader.gets()
            if reply is policy.MORE:
                data = await incoming.read(policy.READ_BYTES)
                if not data:
                    raise ConnectionResetError("Redis closed the connection")
                reader.feed(data)
            else:
                replies.append(reply)
        return replies


class AsyncTransport:
    """Sends operations and reads their replies; tries again on a fresh connection where one broke.

    Args:
        settings: where Redis is, and how long to wait for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stand_in = stand_in_for(settings.redis_url)
        try:
            self._pool = ConnectionPool.from_url(settings.redis_url, **policy.connection_options(settings, Retry))
            self._pool.connection_class(**self._pool.connection_kwargs)  # it checks its options; connects to nothing
        except (ValueError, TypeError):
            raise policy.invalid_url(settings) from None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._places = asyncio.Semaphore(settings.max_connections)
        self._free: list[_Line] = []
        self._inherited: list[_Line] = []

    async def execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        """The replies to each operation's commands, error replies among them as values.

        Raises:
            StoreUnavailable: no reply in all attempts.
        """
        found: list[list[Any]] = []
        for batch in policy.batches(operations):
            found += await self._execute(batch)
        return found

    async def _execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        flat = await self._send([command for operation in operations for command in operation.commands])
        replies = policy.dealt(operations, flat)
        unknown = policy.without_script(operations, replies)
        if unknown:
            again = await self._send(policy.with_source([operations[index] for index in unknown]))
            for index, reply in zip(unknown, again, strict=True):
                replies[index][-1] = reply
        return replies

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        packed = policy.pack(commands)
        self._enter_loop()
        started_s = time.monotonic()
        places = await self._place()
        try:
            for attempt in itertools.count():
                try:
                    return await self._exchange(packed, len(commands))
                except policy.BROKEN as error:
                    # Others that wait in the pool have most likely broken too.
                    for line in self._free:
                        await line.connection.disconnect(nowait=True)
                    if policy.is_last(self._settings, error, attempt, started_s):
                        raise policy.unavailable(self._settings, error, attempt + 1) from error
                except RedisError as error:
                    raise policy.refused(self._settings, error) from error
                await asyncio.sleep(policy.pause_before(attempt))
        finally:
            places.release()
        raise AssertionError("unreachable")

    def _enter_loop(self) -> None:
        """Connections belong to an event loop: start anew in another one, as after a fork."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._pid != os.getpid():
            self._inherited += self._free  # to close them would disturb the parent's
            self._pid = os.getpid()
        self._loop, self._free = loop, []
        self._places = asyncio.Semaphore(self._settings.max_connections)

    async def _place(self) -> asyncio.Semaphore:
        """Callers beyond the limit wait here in order; redis-py's own blocking pool lets some of them starve."""
        places = self._places
        if not places.locked():
            await places.acquire()
            return places
        try:
            async with asyncio.timeout(policy.longest_s(self._settings)):
                await places.acquire()
        except TimeoutError as error:
            raise policy.crowded(self._settings) from error
        return places

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        if self._stand_in is not None:
            return await asyncio.to_thread(self._stand_in.exchange, packed, count)
        free = self._free
        line = free.pop() if free else _Line(self._pool.make_connection())  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(self._settings.socket_timeout):
                return await line.exchange(packed, count)
        except BaseException:
            # Replies may be outstanding; the next user of the connection must not read them.
            await line.connection.disconnect(nowait=True)
            raise
        finally:
            free.append(line)

    async def close(self) -> None:
        """Close the connections that are not in use; the transport opens new ones if it is used again."""
        while self._free:
            await self._free.pop().connection.disconnect()
