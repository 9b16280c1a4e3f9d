"""The transports of stores that have a near cache: before a write's caller goes on, the cache knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sojourn.cache.near import Near
from sojourn.operations.core import Operation
from sojourn.settings import Settings
from sojourn.transport.asynchronous import AsyncTransport
from sojourn.transport.blocking import Transport

__all__ = ["AsyncNearTransport", "NearTransport"]


class NearTransport(Transport):
    """Sends operations, and tells a near cache which; for the arguments see `Transport`."""

    def __init__(self, near: Near, settings: Settings) -> None:
        super().__init__(settings)
        self._near = near
        near.serve(settings)

    def execute_one(self, operation: Operation[Any]) -> list[Any]:
        """As `Transport.execute_one`."""
        replies = None
        try:
            replies = super().execute_one(operation)
        finally:
            self._near.wrote((operation,), None if replies is None else (replies,))
        return replies

    def execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        """As `Transport.execute`."""
        replies = None
        try:
            replies = super().execute(operations)
        finally:
            self._near.wrote(operations, replies)
        return replies

    def close(self) -> None:
        """Close the cache and the connections."""
        self._near.close()
        super().close()


class AsyncNearTransport(AsyncTransport):
    """The asynchronous twin."""

    def __init__(self, near: Near, settings: Settings) -> None:
        super().__init__(settings)
        self._near = near
        near.serve(settings)

    async def execute_one(self, operation: Operation[Any]) -> list[Any]:
        """As `AsyncTransport.execute_one`."""
        replies = None
        try:
            replies = await super().execute_one(operation)
        finally:
            self._near.wrote((operation,), None if replies is None else (replies,))
        return replies

    async def execute(self, operations: Sequence[Operation[Any]]) -> list[list[Any]]:
        """As `AsyncTransport.execute`."""
        replies = None
        try:
            replies = await super().execute(operations)
        finally:
            self._near.wrote(operations, replies)
        return replies

    async def close(self) -> None:
        """Close the cache and the connections."""
        await asyncio.to_thread(self._near.close)
        await super().close()
