"""What the archive run writes to PostgreSQL. All within the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import psycopg

from sojourn.archive.copying import Copying
from sojourn.archive.database import Connection, statement
from sojourn.archive.rows import rows_json, session_key

__all__ = [
    "TENANTS_LOCK",
    "Held",
    "PartitionBusy",
    "Sent",
    "Stored",
    "held_sessions",
    "lock_partition",
    "note_batch",
    "store",
    "storing",
]

K = TypeVar("K")

_LOCKS: Final = 0x50_4A_52_00
"""The class of the advisory locks under which one run at a time works on a partition; any number."""
TENANTS_LOCK: Final = -1
"""In the place of a partition's number: for what is copied of tenants."""
_CHUNK_CHARACTERS: Final = 16_000_000
"""One statement's rows; they are held as text and as bytes before they are sent."""


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


@dataclass
class Sent:
    """Rows that were sent to several tables at once."""

    stored: dict[str, Stored[Any]] = field(default_factory=dict)
    """What each table took; filled when PostgreSQL is done."""
    refused: bool = False
    """PostgreSQL would not have one of the rows. Nothing is written; `store` tells the row apart."""


@contextmanager
def storing(connection: Connection, tables: Mapping[str, Sequence[tuple[Any, str]]]) -> Iterator[Sent]:
    """Write rows to several tables in one go, within the caller's transaction, while the block does something else."""
    filled = {name: rows for name, rows in tables.items() if rows}
    sent = Sent({name: Stored() for name in tables})
    if not filled:
        yield sent
        return
    copying = Copying(connection)
    copying.send(list(filled), [row for rows in filled.values() for _, row in rows])
    try:
        yield sent
    finally:  # whatever became of the block: the connection is to be in step
        taken = copying.results()
    if taken is None:
        sent.refused = True
        return
    for name, (written, returned) in zip(filled, taken, strict=True):
        own = sent.stored[name]
        own.written, own.returned = written, returned


def _store(connection: Connection, name: str, rows: Sequence[tuple[K, str]], stored: Stored[K]) -> None:
    copying = Copying(connection)
    copying.send([name], [row for _, row in rows])
    taken = copying.results()
    if taken is not None:
        stored.written += taken[0][0]
        stored.returned += taken[0][1]
    elif len(rows) == 1:
        stored.refused.append(rows[0][0])
    else:
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


def note_batch(connection: Connection, number: int) -> tuple[int, datetime]:
    """Count a batch of a partition; how many there are with it, and when it is taken."""
    count, at = connection.execute(statement("note_batch"), {"number": number}).fetchall()[0]
    return count, at


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
