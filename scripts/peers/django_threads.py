"""Django's sessions; the argument is the engine: `cache`, or `cached_db` with PostgreSQL, which writes to both."""

from __future__ import annotations

import importlib
import secrets
import sys
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import django
from django.conf import settings
from django.core.management import call_command

from peers.protocol import Threaded, serve


def database(url: str) -> dict[str, Any]:
    """What Django wants to know of a PostgreSQL."""
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    return {
        "ENGINE": "django.db.backends.postgresql", "NAME": parts.path.lstrip("/"), "HOST": unquote(host),
        "PORT": str(parts.port or ""), "USER": unquote(parts.username or ""), "PASSWORD": unquote(parts.password or ""),
    }  # fmt: skip


class Adapter(Threaded):
    """A session object for each get, and one that is loaded for each client that updates."""

    packages = ("django", "redis", "hiredis")

    def __init__(self, engine: str) -> None:
        self.engine = engine

    def begin(self, told: dict[str, Any]) -> list[str]:
        """Set Django up, and save the sessions."""
        cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": told["redis"]}
        settings.configure(
            CACHES={"default": cache}, INSTALLED_APPS=["django.contrib.sessions"], USE_TZ=True,
            SECRET_KEY=secrets.token_hex(),
            DATABASES={"default": database(told["postgres"])} if self.engine == "cached_db" else {},
        )  # fmt: skip
        django.setup()
        if self.engine == "cached_db":
            call_command("migrate", verbosity=0)
        self.store = importlib.import_module(f"django.contrib.sessions.backends.{self.engine}").SessionStore
        self.changes = told["changes"]
        self.held = [self._made(told["payload"]) for _ in range(told["clients"])]
        return [self._made(told["payload"]).session_key for _ in range(told["sessions"])]

    def _made(self, payload: dict[str, Any]) -> Any:
        session = self.store()
        session.update(payload)
        session.create()
        session.update(payload)
        session.save()
        return session

    def get(self, session_id: str) -> None:
        """Load it, as at the first use in a request."""
        if "owner" not in self.store(session_id):
            raise LookupError(session_id)

    def update(self, client: int) -> None:
        """Load it and save it whole, as in a request that changes it."""
        self.held[client] = self.store(self.held[client].session_key)
        self.save(client)

    def save(self, client: int) -> None:
        """Save it whole."""
        session = self.held[client]
        session.update(self.changes)  # loads it, if that was not yet done
        session.save()


if __name__ == "__main__":
    serve(Adapter(sys.argv[1]))
