"""Connections to the archive's PostgreSQL: bounded in time, and with errors that anybody may read."""

from __future__ import annotations

import math
import os
import re
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors
from psycopg.rows import TupleRow

from sojourn.errors import ArchiveError, ArchiveSchemaMismatch, ArchiveUnavailable, SettingsError

__all__ = ["Connection", "connect", "connected", "is_data_error", "place", "statement", "translated"]

_SQL: Final = Path(__file__).parent / "sql"
_INCLUDE: Final = re.compile(rb"^-- @include (\w+)$", re.MULTILINE)
_MOVED: Final = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedObject, errors.InvalidSchemaName)


class Connection(psycopg.Connection[TupleRow]):
    """A connection that gives up on a server which no longer answers.

    A server that is frozen or cut off by the network cannot enforce its own statement_timeout, and the reply would be
    waited for for ever. So each wait is watched, and after `limit_s` seconds the socket is shut down.
    """

    limit_s: float = 60.0
    gave_up: bool = False
    _twin: socket.socket | None = None
    """A second handle on the socket: libpq may close its own at any time, and the number be given to another file."""

    def watch(self, limit_s: float) -> None:
        """Bound every wait from now on."""
        self.limit_s = limit_s
        self._twin = socket.socket(fileno=os.dup(self.fileno()))

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Wait for the server, but not longer than the limit."""
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same, looked after: psycopg tells a generator ten times a second that nothing came."""
        began_s = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and not self.gave_up and time.monotonic() - began_s > self.limit_s:
                    self._give_up()
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _give_up(self) -> None:
        self.gave_up = True
        if self._twin is not None:
            with suppress(OSError):  # the server was quicker to hang up
                self._twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        super().close()
        if self._twin is not None:
            self._twin.close()
            self._twin = None


def place(url: str) -> str:
    """Where a connection string leads, without user and password.

    Raises:
        SettingsError: it is not a connection string.

    Example:
        >>> place("postgresql://ada:secret@db.example:5433/sojourn")
        'db.example:5433/sojourn'
    """
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        # libpq's own message quotes the string, and with it the password.
        raise SettingsError("archive_url is not a PostgreSQL connection string (postgresql://...)") from None
    host = parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST", "localhost")
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"


def connect(url: str, timeout_s: float) -> Connection:
    """A fresh connection, in autocommit mode. A pool would gain little: connecting takes some 5 to 10 ms.

    The server ends every statement after `timeout_s` seconds, and waiting for a lock a little earlier. Errors are
    psycopg's own; `translated` makes them Sojourn's.

    Raises:
        SettingsError: it is not a connection string.
        ArchiveError: the database is not in UTF-8.
    """
    where = place(url)
    connection = Connection.connect(
        url,
        autocommit=True,
        prepare_threshold=None,  # poolers between us and the server may not know prepared statements
        connect_timeout=max(2, math.ceil(timeout_s)),
        client_encoding="utf8",
        application_name="sojourn-archive",
    )
    try:
        connection.watch(timeout_s * 1.2 + 1)  # the server's own limits come first
        _check_encoding(connection, where)
        milliseconds = round(timeout_s * 1000)
        connection.execute(statement("prepare_connection"), (str(milliseconds), str(max(1, milliseconds * 3 // 4))))
    except BaseException:
        connection.close()
        raise
    return connection


def _check_encoding(connection: Connection, where: str) -> None:
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise ArchiveError(f"the database {where} must have the encoding UTF8: other ones cannot hold every text")


@contextmanager
def translated(url: str, timeout_s: float, connection: Connection | None = None) -> Iterator[None]:
    """Turn psycopg's errors into Sojourn's, in one plain line without values or passwords.

    Raises:
        ArchiveUnavailable: the server did not answer in time, or refused.
        ArchiveSchemaMismatch: a table or column is not there.
        ArchiveError: it could not do what was asked.
    """
    try:
        yield
    except _MOVED:
        raise ArchiveSchemaMismatch(
            f"the archive {place(url)} has not the tables of this version: run 'sojourn archive init'"
        ) from None
    except psycopg.Error as error:
        raise _told(place(url), timeout_s, error, connection) from None


def _told(where: str, timeout_s: float, error: psycopg.Error, connection: Connection | None) -> ArchiveError:
    if connection is not None and connection.gave_up:
        return ArchiveUnavailable(f"the archive {where} did not answer within {connection.limit_s:g} s")
    if isinstance(error, errors.QueryCanceled):
        return ArchiveUnavailable(f"the archive {where} did not finish a statement within {timeout_s:g} s")
    if isinstance(error, errors.LockNotAvailable):
        return ArchiveUnavailable(f"the archive {where}: others held a lock for longer than {timeout_s * 0.75:g} s")
    if isinstance(error, psycopg.OperationalError):
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        return ArchiveUnavailable(f"the archive {where} is not available: {problem}")
    # The primary message of other errors may quote a value.
    return ArchiveError(f"the archive {where} refused a statement: {type(error).__name__} ({error.sqlstate or '-'})")


@contextmanager
def connected(url: str, timeout_s: float) -> Iterator[Connection]:
    """A fresh connection for the block, whose errors are Sojourn's.

    Raises:
        SettingsError: `url` is not a connection string.
        SojournError: what `translated` raises.
    """
    with translated(url, timeout_s):
        connection = connect(url, timeout_s)
    try:
        with translated(url, timeout_s, connection):
            yield connection
    finally:
        connection.close()


def is_data_error(error: psycopg.Error) -> bool:
    """Whether the values are to blame, not the server: those of one record must not hold up all others.

    That is class 22 (data), 23 (constraints) and 54 (limits, such as an index entry's size).
    """
    return (error.sqlstate or "")[:2] in ("22", "23", "54")


@cache
def statement(name: str) -> bytes:
    """The text of ``sql/<name>.sql``, with other files where a line says ``-- @include <name>``."""
    text = (_SQL / f"{name}.sql").read_bytes()
    return _INCLUDE.sub(lambda found: statement(found[1].decode()).rstrip(b"\n"), text)
