"""What the archive run writes to PostgreSQL. All within the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import psycopg

from sojourn.archive.database import Connection, is_data_error, statement
from sojourn.archive.rows import rows_json, session_key

__all__ = ["Held", "PartitionBusy", "Stored", "held_sessions", "lock_partition", "store"]

K = TypeVar("K")

_LOCKS: Final = 0x50_4A_52_00
"""The class of the advisory locks under which one run at a time works on a partition; any number."""
_CHUNK_CHARACTERS: Final = 16_000_000
"""One statement's rows; jsonb ends at 256 MB, and memory is used several times over while it is parsed."""


class PartitionBusy(Exception):
    """Another run holds the partition for longer than one waits."""


@dataclass
class Stored(Generic[K]):
    """What one table took."""

    written: int = 0
    returned: list[tuple[Any, ...]] = field(default_factory=list)
    refused: list[K] = field(default_factory=list)
    """The keys of rows that PostgreSQL would not have at any price."""


@dataclass(frozen=True)
class Held:
    """What the archive holds of a session."""

    updated_at: datetime
    version: int
    ended: bool


def lock_partition(connection: Connection, number: int, *, wait: bool) -> bool:
    """Keep other runs from a partition until the transaction ends; whether it was to be had.

    Without the lock nothing would go wrong, but two runs would do the same work twice.

    Raises:
        PartitionBusy: waited in vain.
    """
    function = "pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock"
    try:
        row = connection.execute(f"SELECT {function}(%s, %s)", (_LOCKS, number)).fetchone()
    except psycopg.errors.LockNotAvailable:
        raise PartitionBusy from None
    return wait or bool(row and row[0])


def store(connection: Connection, name: str, rows: Sequence[tuple[K, str]]) -> Stored[K]:
    """Write rows with the statement `name`. Rows whose values PostgreSQL refuses are told apart from the others."""
    stored: Stored[K] = Stored()
    for chunk in _chunks(rows):
        _store(connection, name, chunk, stored)
    return stored


def _store(connection: Connection, name: str, rows: Sequence[tuple[K, str]], stored: Stored[K]) -> None:
    try:
        with connection.transaction():
            cursor = connection.execute(statement(name), {"rows": rows_json([row for _, row in rows])})
            stored.written += cursor.rowcount
            if cursor.description is not None:
                stored.returned += cursor.fetchall()
    except psycopg.Error as error:
        if not is_data_error(error):
            raise
        if len(rows) == 1:
            stored.refused.append(rows[0][0])
            return
        middle = len(rows) // 2
        _store(connection, name, rows[:middle], stored)
        _store(connection, name, rows[middle:], stored)


def _chunks(rows: Sequence[tuple[K, str]]) -> Iterator[Sequence[tuple[K, str]]]:
    start = size = 0
    for end, (_, row) in enumerate(rows):
        size += len(row)
        if size > _CHUNK_CHARACTERS and end > start:
            yield rows[start:end]
            start, size = end, len(row)
    if rows:
        yield rows[start:]


def held_sessions(connection: Connection, sessions: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Held]:
    """What the archive holds of these sessions, (tenant, id); those that it does not know are left out."""
    keys = rows_json([session_key(*each) for each in sessions])
    if keys == "[]":
        return {}
    found = connection.execute(statement("held_sessions"), {"keys": keys})
    return {
        (tenant, str(session_id)): Held(updated_at, version, ended)
        for tenant, session_id, updated_at, version, ended in found
    }
