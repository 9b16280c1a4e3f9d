"""Sending rows by COPY, together with the statements that take them over, as one query that the server works through.

Nothing has to be said to the server in between, so whoever sent the rows is free until it asks what came of them.
Above psycopg's cursors, which wait for each COPY to end; its own `pq` is what they are made of.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.waiting import Ready, Wait

from sojourn.archive.database import Connection, is_data_error, statement
from sojourn.archive.lines import STAGE

__all__ = ["Copying", "append", "stage"]

_BEFORE: Final = b"SAVEPOINT sojourn_rows;\nCOPY pg_temp.sojourn_rows FROM STDIN;\n"
_AFTER: Final = b";\nRELEASE SAVEPOINT sojourn_rows;\nTRUNCATE pg_temp.sojourn_rows"
_STAGE: Final = f"{STAGE}; TRUNCATE pg_temp.sojourn_rows".encode()
_BACK: Final = b"ROLLBACK TO SAVEPOINT sojourn_rows; RELEASE SAVEPOINT sojourn_rows"
Waiting = Generator[Wait, Ready, Any]


def stage(connection: Connection) -> None:
    """Make the place where the lines go, empty, for the caller's transaction."""
    connection.execute(_STAGE)


class Copying:
    """One query under way, in a transaction for which `stage` was called.

    The connection is for nothing else until `results` was asked for.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._error: psycopg.Error | None = None

    def send(self, names: Sequence[str], lines: Sequence[str]) -> None:
        """Send lines, and what takes them over: the statements of these names, in this order."""
        query = _BEFORE + b";\n".join(statement(name).rstrip() for name in names) + _AFTER
        self._connection.wait(self._sent(query, "".join(lines).encode()))

    def results(self) -> list[tuple[int, list[tuple[Any, ...]]]] | None:
        """Of each statement how many rows it wrote, and what it returned; None: a row was refused, and nothing written.

        Raises:
            psycopg.Error: of another kind.
        """
        found = self._connection.wait(self._finished())
        if self._error is None:
            return [_taken(self._connection, each) for each in found[1:-2]]  # the others are COPY's and of no interest
        if not is_data_error(self._error):
            raise self._error
        self._connection.execute(_BACK)
        return None

    def _sent(self, query: bytes, lines: bytes) -> Waiting:
        self._pgconn.send_query(query)
        yield from self._flushed()
        while (result := (yield from self._next())) is not None:
            if result.status == pq.ExecStatus.COPY_IN:
                self._pgconn.put_copy_data(lines)
                self._pgconn.put_copy_end()
                yield from self._flushed()
                return
            self._note(result)

    def _finished(self) -> Waiting:
        found = []
        while (result := (yield from self._next())) is not None:
            self._note(result)
            found.append(result)
        return found

    def _flushed(self) -> Waiting:
        """Let all go out that was said, and take in meanwhile what comes back: neither side waits for the other."""
        while self._pgconn.flush():
            if (yield Wait.RW) & Ready.R:
                self._pgconn.consume_input()

    def _next(self) -> Waiting:
        """The next statement's result; None behind the last."""
        while self._pgconn.is_busy():
            if (yield Wait.R):
                self._pgconn.consume_input()
        return self._pgconn.get_result()

    def _note(self, result: pq.abc.PGresult) -> None:
        if result.status == pq.ExecStatus.FATAL_ERROR and self._error is None:
            self._error = error_from_result(result, "utf-8")


def append(connection: Connection, lines: Sequence[str]) -> None:
    """Add rows to the audit trail, within the caller's transaction.

    Raises:
        psycopg.Error: one of them was refused.
    """
    stage(connection)
    copying = Copying(connection)
    copying.send(["store_audit"], lines)
    if copying.results() is None:
        raise psycopg.DataError("a row of the audit trail was refused")


def _taken(connection: Connection, result: pq.abc.PGresult) -> tuple[int, list[tuple[Any, ...]]]:
    loading = Transformer(connection)
    loading.set_pgresult(result)
    return result.command_tuples or 0, loading.load_rows(0, result.ntuples, tuple)
