"""starsessions: its Redis store and JSON serializer, behind the handler that its middleware makes for a request."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from starlette.requests import HTTPConnection
from starsessions import JsonSerializer
from starsessions.session import SessionHandler
from starsessions.stores.redis import RedisStore

from peers.protocol import Tasked, serve


class Adapter(Tasked):
    """A handler for each get, and one that is loaded for each client that updates."""

    packages = ("starsessions", "starlette", "redis", "hiredis")

    def _handler(self, session_id: str) -> Any:
        connection = HTTPConnection({"type": "http", "session": {}})
        return SessionHandler(connection, session_id, self.store, self.serializer, 3600)

    async def begin(self, told: dict[str, Any]) -> list[str]:
        """Save the sessions."""
        self.store = RedisStore(connection=redis.asyncio.Redis.from_url(told["redis"]))
        self.serializer = JsonSerializer()
        self.changes = told["changes"]
        self.held = []
        ids = []
        for number in range(told["clients"] + told["sessions"]):
            handler = self._handler("")
            await handler.load()
            handler.connection.session.update(told["payload"])
            session_id = await handler.save(3600)
            if number < told["clients"]:
                self.held.append(handler)
            else:
                ids.append(session_id)
        return ids

    async def get(self, session_id: str) -> None:
        """Load it, as the middleware does."""
        await self._handler(session_id).load()

    async def update(self, client: int) -> None:
        """Load it and save it whole, as the middleware does in a request."""
        handler = self._handler(self.held[client].session_id)
        await handler.load()
        handler.connection.session.update(self.changes)
        await handler.save(3600)

    async def save(self, client: int) -> None:
        """Save it whole."""
        handler = self.held[client]
        handler.connection.session.update(self.changes)
        await handler.save(3600)


if __name__ == "__main__":
    serve(Adapter())
