"""The asynchronous transport: single calls share a connection, and what may hold it up has one for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import RedisError

from sojourn import redis_urls
from sojourn.operations.core import Operation
from sojourn.settings import Settings
from sojourn.transport import policy
from sojourn.transport.line import Line, NotSent
from sojourn.transport.stand_in import stand_in_for

__all__ = ["AsyncTransport"]

_FEW: Final = 10
"""A larger batch takes a connection for itself, so that single calls need not wait for its replies."""
_LARGE: Final = 65_536
"""What sends more bytes than that does so too."""


class AsyncTransport:
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
            self._pool = self._new_pool()
            self._pool.connection_class(**self._pool.connection_kwargs)  # it checks its options; connects to nothing
        except (ValueError, TypeError):
            raise policy.invalid_url(settings) from None
        self._forks = policy.FORKS.count
        self._inherited: list[Any] = []
        self._start_anew(None)

    def _new_pool(self) -> ConnectionPool:
        options = policy.connection_options(self._settings, Retry)
        return redis_urls.asynchronous_pool(self._settings.redis_url, **options)

    def _start_anew(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._shared: Line | None = None
        self._opening: asyncio.Task[Line] | None = None
        self._free: list[Line] = []
        self._places = asyncio.Semaphore(self._settings.max_connections)

    async def execute_one(self, operation: Operation[Any]) -> list[Any]:
        """The replies to the operation's commands, error replies among them as values.

        Raises:
            StoreUnavailable: no reply in all attempts.
        """
        packed = policy.pack(operation.commands)
        if operation.alone or len(packed) > _LARGE:
            return (await self._execute([operation]))[0]
        replies = await self._send(packed, len(operation.commands))
        if operation.source is not None and policy.lacks_script(replies[-1]):
            replies[-1:] = await self._send(policy.pack(policy.with_source([operation])), 1)
        return replies

    async def execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        """The same for several, in one round trip."""
        found: list[list[Any]] = []
        for batch in policy.batches(operations):
            found += await self._execute(batch)
        return found

    async def _execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        commands = policy.gathered(operations)
        packed = policy.pack(commands)
        send = self._send_alone
        if len(operations) <= _FEW and len(packed) <= _LARGE and not any(operation.alone for operation in operations):
            send = self._send
        replies = policy.dealt(operations, await send(packed, len(commands)))
        unknown = policy.without_script(operations, replies)
        if unknown:
            commands = policy.with_source([operations[index] for index in unknown])
            again = await send(policy.pack(commands), len(commands))
            for index, reply in zip(unknown, again, strict=True):
                replies[index][-1] = reply
        return replies

    async def _send(self, packed: bytes, count: int) -> list[Any]:
        """On the connection that is shared."""
        if self._stand_in is not None:
            return await self._send_alone(packed, count)
        started_s, patience_s = time.monotonic(), self._longest_s
        attempt = 0
        while True:
            try:
                line = self._shared
                if line is None or not line.is_open or line.is_full or line.loop is not asyncio.get_running_loop():
                    line = await self._ready_line(patience_s)
                replies = await line.post(packed, count)
                if self._by_sentinel:
                    self._check_is_master(line, replies)
                return replies  # noqa: TRY300
            except NotSent:
                continue
            except (*policy.BROKEN, RedisError) as error:
                await self._fail_or_pause(error, attempt, started_s)
                attempt += 1
                patience_s = policy.patience_s(self._settings, started_s)

    async def _send_alone(self, packed: bytes, count: int) -> list[Any]:
        """On a connection of its own."""
        if self._loop is not asyncio.get_running_loop():
            self._enter_loop()
        started_s = time.monotonic()
        attempt = 0
        async with self._place():
            while True:
                try:
                    return await self._exchange(packed, count)
                except (*policy.BROKEN, RedisError) as error:
                    while self._free:  # others that wait here have most likely broken too
                        self._free.pop().close()
                    await self._fail_or_pause(error, attempt, started_s)
                    attempt += 1

    async def _fail_or_pause(self, error: RedisError | OSError, attempt: int, started_s: float) -> None:
        if not isinstance(error, policy.BROKEN):
            raise policy.refused(self._settings, error) from error
        if policy.is_last(self._settings, error, attempt, started_s):
            raise policy.unavailable(self._settings, error, attempt + 1) from error
        await asyncio.sleep(policy.pause_before(attempt))

    def _enter_loop(self) -> None:
        """Connections belong to an event loop: start anew in another one, as after a fork."""
        if self._forks != policy.FORKS.count:  # to close the connections would disturb the parent's
            self._inherited += [*self._free, self._shared, self._opening]
            self._forks = policy.FORKS.count
        if self._by_sentinel:
            self._pool = self._new_pool()  # its connections to sentinels are of the loop before
        self._start_anew(asyncio.get_running_loop())

    async def _ready_line(self, patience_s: float) -> Line:
        """The shared connection once it can take a call, for which that many seconds are waited at most."""
        if self._loop is not asyncio.get_running_loop():
            self._enter_loop()
        while True:
            line = self._shared
            if line is None or not line.is_open:
                line = await self._opened()
                if not line.is_open:  # it broke at once, or the transport was closed meanwhile
                    continue
            if not line.is_full:
                return line
            try:
                async with asyncio.timeout(patience_s):
                    await line.enter()
            except TimeoutError as error:
                raise policy.congested(self._settings, patience_s) from error
            if line.is_open:
                return line

    async def _opened(self) -> Line:
        """A new shared connection; those who want it at the same time wait for the same one."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._note_opened)
        return await asyncio.shield(self._opening)

    def _note_opened(self, opening: asyncio.Task[Line]) -> None:
        current = opening is self._opening
        if current:
            self._opening = None
        if opening.cancelled() or opening.exception() is not None:  # which those who wait are told
            return
        if current:
            self._shared = opening.result()
        else:  # the transport was closed meanwhile
            opening.result().retire()

    async def _open(self) -> Line:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(self._settings.socket_timeout):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return Line(connection, self._settings.socket_timeout)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Callers beyond the limit wait here in order; redis-py's own blocking pool lets some of them starve."""
        places = self._places
        try:
            async with asyncio.timeout(self._longest_s):
                await places.acquire()
        except TimeoutError as error:
            raise policy.crowded(self._settings, self._longest_s) from error
        try:
            yield
        finally:
            places.release()

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        if self._stand_in is not None:
            return await asyncio.to_thread(self._stand_in.exchange, packed, count)
        line = self._free.pop() if self._free else None
        if line is None or not line.is_open:
            line = await self._open()
        try:
            replies = await line.post(packed, count)
            if self._by_sentinel:
                self._check_is_master(line, replies)
        except BaseException as error:
            line.close(error if isinstance(error, Exception) else None)  # replies may be outstanding
            raise
        self._free.append(line)
        return replies

    def _check_is_master(self, line: Line, replies: list[Any]) -> None:
        try:
            policy.check_is_master(replies)
        except policy.BROKEN:
            line.retire()
            raise

    async def close(self) -> None:
        """Close the connections that are not in use; the transport opens new ones if it is used again."""
        if self._loop is not asyncio.get_running_loop():  # there are none of this loop
            return
        lines, self._free = self._free, []
        if self._shared is not None:
            lines.append(self._shared)
            self._shared = None
        opening, self._opening = self._opening, None
        for line in lines:
            line.retire()
        if opening is not None:  # whoever wanted it may be gone, and the loop soon too
            await asyncio.wait([opening])
            if not opening.cancelled() and opening.exception() is None:
                lines.append(opening.result())  # retired by now
        for line in lines:
            if line.is_idle:
                await line.wait_closed()
        if isinstance(self._pool, SentinelConnectionPool):
            for sentinel in self._pool.sentinel_manager.sentinels:
                await sentinel.aclose()
