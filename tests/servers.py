"""The servers that the tests share, and clean state in them for each test.

Redis: each pytest-xdist worker has servers of its own, because notifications, scripts and CONFIG SET reach
across databases (a start takes 50 ms). PostgreSQL: one for all workers (a start takes 700 ms), and a database
per test.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import psycopg
import redis
from psycopg import sql

from sojourn.embedded import PostgresServer, RedisServer, bundled_redis

__all__ = ["Databases", "RedisServers", "redis_executables", "start_postgres"]


def redis_executables() -> dict[str, str]:
    """Return the servers to test against by test id: `redis6` from the wheel, and one on the PATH if >= 7."""
    found = {"redis6": bundled_redis()}
    if path := shutil.which("redis-server"):
        version = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
        match = re.search(r"v=(\d+)\.", version)
        assert match, f"{path} --version says {version!r}"
        if int(match[1]) >= 7:
            found[f"redis{match[1]}"] = path
    return found


class RedisServers:
    """The shared Redis servers of one test process, each started when it is first wanted."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[str, tuple[RedisServer, redis.Redis, dict[str, str]]] = {}

    def clean_url(self, executable: str) -> str:
        """Return the URL of the shared server of ``executable``, emptied, with its first configuration and user."""
        if executable not in self._servers:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-"))
            server = self._stack.enter_context(RedisServer.start(Path(folder), executable=executable))
            client = self._stack.enter_context(redis.Redis.from_url(server.url, decode_responses=True))
            self._servers[executable] = (server, client, _config(client))
        server, client, first = self._servers[executable]
        client.flushall()
        for user in cast("list[str]", client.acl_users()):
            if user != "default":
                client.acl_deluser(user)
        for name, value in _config(client).items():
            if value != first[name]:
                client.config_set(name, first[name])
        return server.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _config(client: redis.Redis) -> dict[str, str]:
    return cast("dict[str, Any]", client.config_get("*"))


def start_postgres(stack: ExitStack) -> str:
    """Start the shared PostgreSQL until ``stack`` closes; return its URL."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-"))
    return stack.enter_context(PostgresServer.start(Path(folder), durable=False, max_connections=200)).url


class Databases:
    """Makes databases of one test process on the shared PostgreSQL; ``worker`` keeps their names apart."""

    def __init__(self, server_url: str, worker: str) -> None:
        self._server_url = server_url
        self._prefix = f"test_{worker}"
        self._numbers = itertools.count()

    def create(self, template: str = "template1") -> str:
        """Create a database as a copy of database ``template``; return its name."""
        name = f"{self._prefix}_{next(self._numbers)}"
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)

    def url(self, name: str) -> str:
        """Return the URL of database ``name``."""
        return f"{self._server_url.rpartition('/')[0]}/{name}"

    def _execute(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))
