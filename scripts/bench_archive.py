"""The archive run against the bare database: the same rows by COPY and a guarded upsert, through plain psycopg.

The same rows are all that the run writes of a session that was created, or given another owner: the session, its event
and its row of the audit trail, each into a table of the same columns and indexes, in transactions of as many sessions.
The bare side finds them ready in the format of COPY. It reads no Redis, tells none, looks up nothing and computes no
chain of hashes: that is what the run does for its time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
import redis
from psycopg import sql

from bench_calls import CHANGES, FIELDS, BenchSession
from sojourn import SessionStore
from sojourn.archive import archive_once, init
from sojourn.embedded import PostgresServer
from sojourn.settings import Settings

__all__ = ["run"]

TABLES: Final = {
    "sessions": ("tenant", "id"), "session_events": ("tenant", "session_id", "id"), "audit": ("tenant", "seq"),
}  # fmt: skip
FILL: Final = 500
GUARD: Final[LiteralString] = " WHERE (held.updated_at, held.version) < (excluded.updated_at, excluded.version)"


@dataclass(frozen=True)
class Bare:
    """One table's rows in the format of COPY, batch by batch, and the statement that takes them over."""

    table: str
    batches: list[bytes]
    upsert: sql.Composed

    def write(self, connection: psycopg.Connection[Any], number: int) -> None:
        """Write one batch, within the caller's transaction."""
        name = sql.Identifier("new_" + self.table)
        connection.execute(sql.SQL("TRUNCATE {}").format(name))
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
            copy.write(self.batches[number])
        connection.execute(self.upsert)


def run(url: str, sessions: int, rounds: int) -> dict[str, Any]:
    """Seconds that both sides took for new rows and for newer ones, in rounds taken in turn; Redis at `url` is emptied.

    A session, its event and its row of the audit trail are three rows.
    """
    found: dict[str, Any] = {"sessions": sessions}
    measured: dict[str, list[tuple[float, float]]] = {"new": [], "newer": []}
    with (
        tempfile.TemporaryDirectory(prefix="sojourn-bench-") as folder,
        PostgresServer.start(Path(folder) / "postgres", durable=True) as server,
    ):
        settings = Settings(redis_url=url, archive_url=server.url, events_cap=10 * sessions)
        init(server.url)
        with psycopg.connect(server.url, autocommit=True, prepare_threshold=None) as connection:
            _prepare(connection)
            found |= {"PostgreSQL": connection.info.parameter_status("server_version"), "batch": settings.archive_batch}
            for index in range(rounds + 1):
                for case, taken in _round(connection, settings, sessions).items():
                    if index:  # the first round warms up
                        measured[case].append(taken)
    for case, times in measured.items():
        ours, bare = statistics.median(own for own, _ in times), statistics.median(other for _, other in times)
        found[case] = {
            "archive_s": ours,
            "bare_s": bare,
            "archive_rows_per_s": len(TABLES) * sessions / ours,
            "bare_rows_per_s": len(TABLES) * sessions / bare,
            "ratios": [own / other for own, other in times],
        }
    return found


def _prepare(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE SCHEMA bare")
    for table in TABLES:
        names = {"bare": sql.Identifier("bare", table), "ours": sql.Identifier("sojourn", table)}
        connection.execute(sql.SQL("CREATE TABLE {bare} (LIKE {ours} INCLUDING ALL)").format(**names))
        names["new"] = sql.Identifier("new_" + table)
        connection.execute(sql.SQL("CREATE TEMPORARY TABLE {new} (LIKE {ours})").format(**names))


def _round(connection: psycopg.Connection[Any], settings: Settings, sessions: int) -> dict[str, tuple[float, float]]:
    """Both cases once: (ours, bare) in seconds. The rows that the bare side writes are those that ours wrote."""
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
    connection.execute("SET session_replication_role = replica")  # the audit trail's own triggers refuse to empty it
    for schema in ("sojourn", "bare"):
        for table in TABLES:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(schema, table)))
    connection.execute("TRUNCATE sojourn.audit_heads")
    connection.execute("RESET session_replication_role")
    found = {}
    with SessionStore(model=BenchSession, settings=settings, tenant="archive") as store:
        archive_once(settings)  # joins the outboxes
        ids = [
            each.id
            for start in range(0, sessions, FILL)
            for each in store.create_many([FIELDS] * min(FILL, sessions - start), ttl=3600)
        ]
        found["new"] = _measure(connection, settings, sessions)
        for start in range(0, sessions, FILL):
            store.update_many(dict.fromkeys(ids[start : start + FILL], CHANGES))
        found["newer"] = _measure(connection, settings, sessions)
    return found


def _measure(connection: psycopg.Connection[Any], settings: Settings, sessions: int) -> tuple[float, float]:
    _settle_down(connection)
    ours = _timed(lambda: _archive(settings, sessions))
    sides = [_captured(connection, table, settings.archive_batch) for table in TABLES]
    _settle_down(connection)
    return ours, _timed(lambda: _write(connection, sides))


def _archive(settings: Settings, sessions: int) -> None:
    report = archive_once(settings)
    if not (report.complete and report.sessions == report.settled == report.events == report.audited == sessions):
        raise RuntimeError(f"not all was archived: {report}")


def _write(connection: psycopg.Connection[Any], sides: list[Bare]) -> None:
    for number in range(len(sides[0].batches)):
        with connection.transaction():
            for side in sides:
                side.write(connection, number)


def _captured(connection: psycopg.Connection[Any], table: str, batch: int) -> Bare:
    """Those rows of ours that the bare table has not, in the order in which they were written."""
    key = TABLES[table]
    names = {
        "ours": sql.Identifier("sojourn", table),
        "bare": sql.Identifier("bare", table),
        "new": sql.Identifier("new_" + table),
        "key": sql.SQL(", ").join(map(sql.Identifier, key)),
    }
    names["new_here"] = sql.SQL(
        "held.archived_at IS DISTINCT FROM ours.archived_at" if table == "sessions" else "held.tenant IS NULL"
    )
    select = sql.SQL(
        "SELECT ours.* FROM {ours} AS ours LEFT JOIN {bare} AS held USING ({key}) WHERE {new_here} ORDER BY ours.ctid"
    ).format(**names)
    with connection.cursor().copy(sql.SQL("COPY ({}) TO STDOUT").format(select)) as copy:
        rows = b"".join(copy).splitlines(keepends=True)
    columns = connection.execute(sql.SQL("SELECT * FROM {ours} LIMIT 0").format(**names)).description or []
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(each.name)) for each in columns if each.name not in key
    )
    insert = sql.SQL("INSERT INTO {bare} AS held SELECT * FROM {new} ON CONFLICT ({key}) DO ").format(**names)
    if table == "sessions":
        insert += sql.SQL("UPDATE SET {}").format(changes) + sql.SQL(GUARD)
    else:
        insert += sql.SQL("NOTHING")
    return Bare(table, [b"".join(rows[start : start + batch]) for start in range(0, len(rows), batch)], insert)


def _settle_down(connection: psycopg.Connection[Any]) -> None:
    """What is left over from before is not to be paid for by the side that comes next."""
    for schema in ("sojourn", "bare"):
        for table in TABLES:
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(schema, table)))
    connection.execute("CHECKPOINT")


def _timed(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
