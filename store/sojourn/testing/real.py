"""A real Redis for tests, which ends with them."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from redis import Redis

from sojourn.aio import AsyncSessionStore
from sojourn.embedded import RedisServer
from sojourn.testing.clock import Clock, ClockNotSettable
from sojourn.testing.server import TestRedis
from sojourn.transport.asynchronous import AsyncTransport

__all__ = ["RealRedis", "unpooled"]


class RealRedis(TestRedis):
    """A redis-server of the tests' own, on a free port of this machine; it keeps nothing.

    Args:
        executable: another redis-server than the one that the extra ``embedded`` brings (Redis 6.2).
        **settings: of the stores on it, over those of environment and ``sojourn.yaml``: see `use`.

    Raises:
        EmbeddedError: it is not installed, or did not start.

    Example:
        >>> from sojourn import SessionStore
        >>> with RealRedis() as real, SessionStore(real.url) as store:
        ...     store.create(owner="ada").owner
        'ada'
    """

    def __init__(self, executable: str | None = None, **settings: Any) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sojourn-redis-"))
            server = stack.enter_context(RedisServer.start(Path(folder), executable=executable))
            self._client = stack.enter_context(Redis.from_url(server.url))
            self._stack = stack.pop_all()
        self.url = server.url
        self.use(**settings)

    @property
    def clock(self) -> Clock:
        """There is none to set.

        Raises:
            ClockNotSettable: always.
        """
        raise ClockNotSettable("a real Redis goes by its machine's clock: use FakeRedis, or let the time pass")

    def clear(self) -> None:
        """Remove all that is in it."""
        self._client.flushall()

    def close(self) -> None:
        """Stop it."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def unpooled(store: AsyncSessionStore[Any]) -> None:
    """Have a store close each connection after use, for tests whose event loop ends before the store does."""
    store._shared.transport = _Unpooled(store.settings)  # noqa: SLF001


class _Unpooled(AsyncTransport):
    async def _send(self, packed: bytes, count: int) -> list[Any]:
        return await self._send_alone(packed, count)

    async def _send_alone(self, packed: bytes, count: int) -> list[Any]:
        try:
            return await super()._send_alone(packed, count)
        finally:
            await self.close()
