"""The asynchronous transport: operations borrow connections of redis-py's asynchronous pool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.exceptions import ResponseError

from sojourn.errors import SettingsError
from sojourn.operations.core import Command, Operation
from sojourn.settings import Settings, masked
from sojourn.transport import policy

__all__ = ["AsyncTransport"]


class AsyncTransport:
    """Sends operations and reads their replies; tries again on a fresh connection where one broke.

    Args:
        settings: where Redis is, and how long to wait for it.

    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        try:
            self._pool = ConnectionPool.from_url(settings.redis_url, **policy.connection_options(settings, Retry))
        except ValueError as error:
            raise SettingsError(f"redis_url {masked(settings.redis_url)}: {error}") from None
        # Callers beyond the limit wait here in order; redis-py's own blocking pool lets some of them starve.
        self._places = asyncio.Semaphore(settings.max_connections)
        self._free: list[Any] = []

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
        each = iter(flat)
        replies = [[next(each) for _ in operation.commands] for operation in operations]
        unknown = policy.without_script(operations, replies)
        if unknown:
            again = await self._send(policy.with_source([operations[index] for index in unknown]))
            for index, reply in zip(unknown, again, strict=True):
                replies[index][-1] = reply
        return replies

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        packed = policy.pack(commands)
        attempts = self._settings.retries + 1
        for attempt in range(attempts):
            try:
                return await self._exchange(packed, len(commands))
            except policy.BROKEN as error:
                if attempt == attempts - 1 or policy.is_refusal(error):
                    raise policy.unavailable(self._settings, error, attempt + 1) from error
            await asyncio.sleep(policy.pause_before(attempt))
        raise AssertionError("unreachable")

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        async with self._places:
            connection = self._free.pop() if self._free else self._pool.make_connection()
            replies: list[Any] = []
            try:
                await connection.connect()
                await connection.send_packed_command([packed])
                for _ in range(count):
                    try:
                        replies.append(await connection.read_response())
                    except ResponseError as error:
                        replies.append(error)
            except BaseException:
                # Replies may be outstanding; the next user of the connection must not read them.
                await connection.disconnect(nowait=True)
                raise
            finally:
                self._free.append(connection)
            return replies

    async def close(self) -> None:
        """Close all connections; the transport opens new ones if it is used again."""
        free, self._free = self._free, []
        for connection in free:
            await connection.disconnect()
