"""Exporting: from the archive's tables, through COPY, into a file that is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import psycopg
from psycopg import IsolationLevel, generators, sql
from psycopg.abc import PQGen

from sojourn.archive.database import Connection, connected
from sojourn.archive.schema import check_schema
from sojourn.archive.transfer.filters import Filters, statuses
from sojourn.archive.transfer.naming import archive_settings, format_of
from sojourn.archive.transfer.tables import TABLES, Table
from sojourn.errors import InvalidInput
from sojourn.settings import Settings

__all__ = ["export_rows"]

Progress = Callable[[int, int | None], None]

_CHUNK_BYTES: Final = 262_144
_CHUNK_S: Final = 1.0
_PATIENCE_S: Final = 300.0
"""How long the server may look for the next row that matches."""
_PREPARE: Final = """
SELECT set_config('statement_timeout', '0', true), set_config('TimeZone', 'UTC', true),
    set_config('DateStyle', 'ISO', true), set_config('IntervalStyle', 'iso_8601', true)
"""


def export_rows(
    source: Settings | str | None,
    to: Path | str | BinaryIO,
    *,
    table: str = "sessions",
    file_format: str | None = None,
    tenant: str | None = None,
    all_tenants: bool = False,
    status: str | Iterable[str] | None = None,
    kind: str | None = None,
    owner: str | None = None,
    client_type: str | None = None,
    tag: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    progress: Progress | None = None,
) -> int:
    """Write rows of the archive to a file, exactly as `import_rows` reads them, all as they were at one moment.

    Memory is bounded whatever the number of rows. The file gets its name when it is whole, and only its owner may
    read it: it holds whatever the sessions hold. A file of that name is replaced.

    Args:
        source: all settings, or the archive's URL; None: read from environment and ``sojourn.yaml``.
        to: the file's path, or a binary file that is open for writing, which stays open.
        table: ``sessions``, ``entries``, ``events`` or ``snapshots``.
        file_format: ``csv``, ``jsonl`` or ``parquet`` (extra ``parquet``); by default the path's suffix tells, and an
            open file gets JSON lines.
        tenant: whose; None: what the settings say.
        all_tenants: everybody's.
        status: one or several. This and the following choose sessions; of the other tables, rows of such sessions.
            Without them, rows whose session is not archived are exported too.
        kind: their kind.
        owner: their owner.
        client_type: their client type.
        tag: one of their tags.
        created_after: created at or after this moment.
        created_before: created at or before this moment.
        progress: called with the number of rows written so far, and of all (None where counting takes too long).

    Returns:
        How many rows were written.

    Raises:
        InvalidInput: an argument is no good.
        SettingsError: no archive is set, or the settings are no good.
        ArchiveUnavailable: the server did not answer in time.
        ArchiveSchemaMismatch: its tables are not those of this version.
        OSError: the file cannot be written.

    Example:
        >>> export_rows(None, "expired.parquet", status="expired")  # doctest: +SKIP
        4711
    """
    settings, url = archive_settings(source)
    if table not in TABLES:
        raise InvalidInput(f"there is no table '{table}', but {', '.join(TABLES)}")
    if all_tenants and tenant is not None:
        raise InvalidInput("either a tenant or all tenants")
    path = Path(to) if isinstance(to, (Path, str)) else None
    form = format_of(file_format, path)
    filters = Filters(
        None if all_tenants else tenant or settings.tenant, statuses(status), kind, owner, client_type, tag,
        created_after, created_before,
    )  # fmt: skip
    chosen = TABLES[table]
    done = 0
    with connected(url, settings.archive_timeout) as connection:
        check_schema(connection, url)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.limit_s = max(connection.limit_s, _PATIENCE_S)
        with connection.transaction(), _opened(to) as file:
            total = None if progress is None else _count(connection, chosen, filters)
            connection.execute(_PREPARE)
            writer = form.writer(file, chosen)
            try:
                for rows in _copied(connection, form.query(chosen, filters), form.copy_options):
                    writer.write(rows)
                    done += len(rows)
                    if progress is not None:
                        progress(done, total)
                writer.close()
            except BaseException:
                writer.abandon()
                raise
            file.flush()
    return done


def _count(connection: Connection, table: Table, filters: Filters) -> int | None:
    try:
        with connection.transaction():
            row = connection.execute(table.select(sql.SQL("count(*)"), filters)).fetchone()
    except psycopg.errors.QueryCanceled:
        return None
    return int(row[0]) if row else None


def _copied(connection: Connection, query: sql.Composed, options: sql.SQL) -> Iterator[list[bytes]]:
    """The rows that COPY gives, some at a time: each wait for the server has a cost, which is that of its watch."""

    def some() -> PQGen[tuple[list[bytes], bool]]:
        rows: list[bytes] = []
        size, end = 0, time.monotonic() + _CHUNK_S
        while size < _CHUNK_BYTES and time.monotonic() < end:
            found = yield from generators.copy_from(connection.pgconn)
            if not isinstance(found, memoryview):
                return rows, True
            rows.append(bytes(found))
            size += len(rows[-1])
        return rows, False

    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY ({}) TO STDOUT WITH ({})").format(query, options)):
        ended = False
        while not ended:
            rows, ended = connection.wait(some())
            if rows:
                yield rows


@contextmanager
def _opened(to: Path | str | BinaryIO) -> Iterator[BinaryIO]:
    """A file to write to. A path gets what was written when the block is through; if it fails, nothing is left."""
    if not isinstance(to, (Path, str)):
        yield to
        return
    path = Path(to).resolve()
    if path.exists() and not path.is_file():
        if path.is_dir():
            raise InvalidInput(f"{path} is a directory: name a file in it")
        with path.open("wb") as file:  # a pipe or a device, which must not be replaced
            yield file
        return
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no directory {path.parent}")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # of mode 0600
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 (a descriptor)
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
