"""What the archive holds of a tenant, counting and removing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from sojourn.archive.audit.append import Appender
from sojourn.archive.audit.events import audited
from sojourn.archive.copying import append
from sojourn.archive.database import Connection, connected
from sojourn.archive.rows import Damage
from sojourn.archive.schema import check_schema
from sojourn.archive.sink import TENANTS_LOCK, PartitionBusy, lock_partition
from sojourn.errors import ArchiveUnavailable
from sojourn.settings import Settings

__all__ = ["count_rows", "erase_rows", "keep_audited", "sessions_by_tenant", "wait_for_runs"]

_BATCH: Final = 2_000
_TABLES: Final[tuple[LiteralString, ...]] = (
    "session_entries", "session_events", "session_snapshots", "sessions", "tenants",
)  # fmt: skip
"""Those with a tenant's rows; `audit` is none of them, for what it tells must survive."""


def _present(connection: Connection) -> list[LiteralString]:
    found = {
        row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'sojourn'").fetchall()
    }
    return [each for each in _TABLES if each in found]


def count_rows(settings: Settings, tenant: str) -> dict[str, int]:
    """How many rows each table has of the tenant.

    Raises:
        ArchiveUnavailable, ArchiveSchemaMismatch: the archive cannot be read.
    """
    with connected(settings.archive_url or "", settings.archive_timeout) as connection:
        check_schema(connection, settings.archive_url or "")
        return {each: _count(connection, each, tenant) for each in _present(connection)}


def _count(connection: Connection, table: LiteralString, tenant: str) -> int:
    query = sql.SQL("SELECT count(*) FROM sojourn.{} WHERE tenant = %s").format(sql.Identifier(table))
    row = connection.execute(query, (tenant,)).fetchone()
    return int(row[0]) if row else 0


def sessions_by_tenant(settings: Settings) -> dict[str, int]:
    """How many sessions the archive holds of each tenant.

    Raises:
        ArchiveUnavailable, ArchiveSchemaMismatch: the archive cannot be read.
    """
    with connected(settings.archive_url or "", settings.archive_timeout) as connection:
        check_schema(connection, settings.archive_url or "")
        return dict(connection.execute("SELECT tenant, count(*) FROM sojourn.sessions GROUP BY tenant").fetchall())


def wait_for_runs(settings: Settings, numbers: Iterable[int]) -> None:
    """Wait until no archive run has in hand what it read of tenants, or from these partitions, before.

    Raises:
        ArchiveUnavailable: one takes too long; do it again.
    """
    with connected(settings.archive_url or "", settings.archive_timeout) as connection:
        for number in (TENANTS_LOCK, *numbers):
            try:
                with connection.transaction():
                    lock_partition(connection, number, wait=True)
            except PartitionBusy:
                raise ArchiveUnavailable("an archive run is at work for too long: do it again") from None


def keep_audited(settings: Settings, number: int, entries: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    """Have the audit trail tell of entries of a partition's outbox, but not twice of those that it knows.

    Raises:
        ArchiveUnavailable, ArchiveSchemaMismatch: the archive cannot be written.
    """
    found = []
    for stream_id, fields in entries:
        with suppress(Damage, ValueError, OverflowError):  # no run could tell of it either
            told = audited(number, stream_id, fields)
            if told is not None:
                found.append(told)
    with connected(settings.archive_url or "", settings.archive_timeout) as connection, connection.transaction():
        trail = Appender(connection)
        if rows := trail.rows(found):
            append(connection, rows)
        trail.close()


def erase_rows(settings: Settings, tenant: str) -> None:
    """Remove the tenant's rows, a bounded number in each transaction.

    Raises:
        ArchiveUnavailable, ArchiveSchemaMismatch: the archive cannot be written.
    """
    with connected(settings.archive_url or "", settings.archive_timeout) as connection:
        check_schema(connection, settings.archive_url or "")
        for table in _present(connection):
            limit = _BATCH
            query = sql.SQL(
                "DELETE FROM sojourn.{0} WHERE ctid = ANY (ARRAY("
                "SELECT ctid FROM sojourn.{0} WHERE tenant = %s LIMIT %s FOR UPDATE))"
            ).format(sql.Identifier(table))
            while True:
                try:
                    if connection.execute(query, (tenant, limit)).rowcount < limit:
                        break
                except psycopg.errors.QueryCanceled:  # large rows, on a slow server: fewer at a time
                    if limit == 1:
                        raise
                    limit = max(1, limit // 4)
