"""Ours, called from threads."""

from __future__ import annotations

from typing import Any

from bench_calls import BenchSession
from peers.protocol import Threaded, serve
from sojourn import SessionStore
from sojourn.settings import Settings


class Adapter(Threaded):
    """One store for all threads."""

    packages = ("redis", "hiredis", "pydantic")

    def begin(self, told: dict[str, Any]) -> list[str]:
        """Make the sessions."""
        self.store = SessionStore(model=BenchSession, settings=Settings(redis_url=told["redis"]), tenant="threads")
        self.changes = told["changes"]
        self.held = self.store.create_many([told["payload"]] * told["clients"], ttl=3600)
        return [each.id for each in self.store.create_many([told["payload"]] * told["sessions"], ttl=3600)]

    def get(self, session_id: str) -> None:
        """Read it into the model."""
        self.store.get(session_id)

    def update(self, client: int) -> None:
        """Write the fields that change, whatever others wrote into other fields."""
        self.held[client] = self.store.update(self.held[client].id, **self.changes)

    def save(self, client: int) -> None:
        """Write the fields that change, if the version is still the one that is held."""
        held = self.held[client]
        self.held[client] = self.store.update(held.id, version=held.version, **self.changes)


if __name__ == "__main__":
    serve(Adapter())
