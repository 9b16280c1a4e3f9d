"""openai-agents: RedisSession, whose content is a list of items; the payload is one item."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from agents.extensions.memory import RedisSession

from peers.protocol import Tasked, serve


class Adapter(Tasked):
    """A session object for each get, and one for each client that updates; all on one connection pool."""

    packages = ("openai-agents", "redis", "hiredis")

    def _session(self, session_id: str) -> Any:
        return RedisSession(session_id, redis_client=self.client, ttl=3600)

    async def begin(self, told: dict[str, Any]) -> list[str]:
        """Add the payload to each."""
        self.client = redis.asyncio.Redis.from_url(told["redis"])
        self.changes = told["changes"]
        ids = [f"session-{number}" for number in range(told["sessions"])]
        self.held = [self._session(f"held-{client}") for client in range(told["clients"])]
        for each in [*self.held, *map(self._session, ids)]:
            await each.add_items([{"role": "user", "content": told["payload"]}])
        return ids

    async def get(self, session_id: str) -> None:
        """Read its only item."""
        if not await self._session(session_id).get_items():
            raise LookupError(session_id)

    async def update(self, client: int) -> None:
        """Add an item with nothing but the changes: what is there cannot be changed."""
        await self.save(client)

    async def save(self, client: int) -> None:
        """The same."""
        await self.held[client].add_items([{"role": "user", "content": self.changes}])


if __name__ == "__main__":
    serve(Adapter())
