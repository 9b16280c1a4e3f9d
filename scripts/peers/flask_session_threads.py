"""Flask-Session: its Redis interface; without the request and the cookie, which would be Flask's time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
from flask import Flask
from flask_session.redis.redis import RedisSession, RedisSessionInterface

from peers.protocol import Threaded, serve

LIFETIME = timedelta(hours=1)


class Adapter(Threaded):
    """One interface for all threads, as there is in an application."""

    packages = ("flask-session", "flask", "msgspec", "redis", "hiredis")

    def begin(self, told: dict[str, Any]) -> list[str]:
        """Save the sessions."""
        self.interface = RedisSessionInterface(Flask("peer"), redis.Redis.from_url(told["redis"]))
        self.changes = told["changes"]
        ids = [f"session:{number}" for number in range(told["sessions"])]
        self.held = [RedisSession(told["payload"], f"held:{client}", True) for client in range(told["clients"])]
        for each in [*ids, *(held.sid for held in self.held)]:
            self.interface._upsert_session(LIFETIME, RedisSession(told["payload"], each, True), each)  # noqa: SLF001
        return ids

    def get(self, session_id: str) -> Any:
        """Read it, as at the beginning of a request."""
        return RedisSession(self.interface._retrieve_session_data(session_id), session_id)  # noqa: SLF001

    def update(self, client: int) -> None:
        """Read it and save it whole, as in a request that changes it."""
        self.held[client] = self.get(self.held[client].sid)
        self.save(client)

    def save(self, client: int) -> None:
        """Save it whole."""
        held = self.held[client]
        held.update(self.changes)
        self.interface._upsert_session(LIFETIME, held, held.sid)  # noqa: SLF001


if __name__ == "__main__":
    serve(Adapter())
