"""Ours, called from tasks."""

from __future__ import annotations

from typing import Any

from bench_calls import BenchSession
from peers.protocol import Tasked, serve
from sojourn import AsyncSessionStore
from sojourn.settings import Settings


class Adapter(Tasked):
    """One store for all tasks."""

    packages = ("redis", "hiredis", "pydantic")

    async def begin(self, told: dict[str, Any]) -> list[str]:
        """Make the sessions."""
        self.store = AsyncSessionStore(model=BenchSession, settings=Settings(redis_url=told["redis"]), tenant="tasks")
        self.changes = told["changes"]
        self.held = await self.store.create_many([told["payload"]] * told["clients"], ttl=3600)
        return [each.id for each in await self.store.create_many([told["payload"]] * told["sessions"], ttl=3600)]

    async def get(self, session_id: str) -> None:
        """Read it into the model."""
        await self.store.get(session_id)

    async def update(self, client: int) -> None:
        """Write the fields that change, whatever others wrote into other fields."""
        self.held[client] = await self.store.update(self.held[client].id, **self.changes)

    async def save(self, client: int) -> None:
        """Write the fields that change, if the version is still the one that is held."""
        held = self.held[client]
        self.held[client] = await self.store.update(held.id, version=held.version, **self.changes)


if __name__ == "__main__":
    serve(Adapter())
