"""The archive: whether it is there and current, keeps up, has connections left, and ends its audit trail well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from sojourn.doctor.finding import Finding, error, info, ok, warning
from sojourn.doctor.look import Look
from sojourn.errors import ArchiveError, SettingsError, StoreError
from sojourn.settings import Settings

__all__ = ["archive", "audit", "clock_ahead_s", "connections", "dirty", "runs"]

_NEARLY: Final = 0.8
_ALMOST: Final = 0.95
_LONG_S: Final = 600.0
_DEAD_ROWS: Final = 100_000
_TIMEOUT_S: Final = 3.0
_SHOWN: Final = 3


def _timeout_s(settings: Settings) -> float:
    return min(settings.archive_timeout, _TIMEOUT_S)


def archive(look: Look) -> Iterator[Finding]:
    """Whether PostgreSQL answers, with the tables of this version, which this login may write."""
    from sojourn.archive.database import connected, statement
    from sojourn.archive.schema import check_schema, read_version

    url = look.settings.archive_url or ""
    try:
        with connected(url, _timeout_s(look.settings)) as connection:
            check_schema(connection, url)
            held = read_version(connection)
            lacking = [row[0] for row in connection.execute(statement("lacking_rights"))]
    except ArchiveError as problem:
        commands = ["sojourn archive status"]
        if "archive init" in str(problem):
            commands.insert(0, "sojourn archive init")
        yield error(str(problem), "start PostgreSQL, or make its tables, or check archive_url", *commands)
        return
    if lacking:
        yield error(
            f"this login may not change {', '.join(lacking)}: no archive run comes to its end",
            "grant it to the role that the workers use", "sojourn archive status",
        )  # fmt: skip
    else:
        yield ok(f"answers, with the tables of version {held}")


def dirty(look: Look) -> Iterator[Finding]:
    """For how long changes wait for the archive."""
    metrics, settings = look.metrics, look.settings
    told = f"{metrics.dirty} sessions wait for the archive, the first for {metrics.dirty_age_s:.0f} s"
    if settings.archive_url is None or metrics.dirty_age_s <= settings.dirty_alarm:
        yield ok(told)
        return
    yield error(
        f"{told}; ended sessions go {settings.grace.total_seconds():.0f} s after their end in any case",
        "see how the archive does, that its workers run, and archive at once",
        "sojourn archive status", "sojourn worker", "sojourn archive run",
    )  # fmt: skip


def runs(look: Look) -> Iterator[Finding]:
    """How the last archive run ended."""
    from sojourn.archive.status import status

    try:
        found = status(look.settings)
    except (StoreError, SettingsError) as problem:
        yield info(str(problem), "see there", "sojourn archive status")
        return
    if found.redis_problem is not None:
        yield info(
            f"could not be looked at: {found.redis_problem}", "see the check 'redis'", "sojourn doctor --check redis"
        )
        return
    failed = found.last_error_at
    if found.last_error is not None and failed and (found.last_run is None or found.last_run.at < failed):
        yield warning(
            f"the last archive run failed: {found.last_error}", "see why, and run it again",
            "sojourn archive status", "sojourn archive run",
        )  # fmt: skip
    elif found.last_run is None:
        yield ok("no archive run has come to its end yet")
    else:
        yield ok(f"the last archive run took {found.last_run.report.sessions} sessions, and ended well")


def connections(look: Look) -> Iterator[Finding]:
    """Connections that are left, transactions that last, and rows that wait to be cleaned away."""
    from sojourn.archive.database import connected, statement

    url = look.settings.archive_url or ""
    try:
        with connected(url, _timeout_s(look.settings)) as connection:
            row: Any = connection.execute(statement("server_state")).fetchone()
            used, most, long_s, database = row
            bloated = connection.execute(statement("dead_rows"), {"least": _DEAD_ROWS}).fetchall()
    except ArchiveError as problem:
        yield info(f"could not be looked at: {problem}", "see the check 'archive'", "sojourn doctor --check archive")
        return
    sound = True
    if used > _NEARLY * most:
        sound = False
        finding = error if used > _ALMOST * most else warning
        yield finding(
            f"{used} of {most} connections to PostgreSQL are in use",
            "see whose they are, and raise max_connections or put a pooler before it; an archive run takes one",
            "psql $SOJOURN_ARCHIVE_URL -c 'SELECT usename, application_name, count(*) FROM pg_stat_activity "
            "GROUP BY 1, 2'",
        )
    if long_s is not None and long_s > _LONG_S:
        sound = False
        yield warning(
            f"a transaction in {database} has been open for {long_s:.0f} s",
            "see whose it is, and end it: rows that it might see are not cleaned away",
            "psql $SOJOURN_ARCHIVE_URL -c 'SELECT pid, usename, state, xact_start, query FROM pg_stat_activity "
            "ORDER BY xact_start'",
        )
    if bloated:
        sound = False
        yield info(
            "; ".join(f"{table}: {dead} dead rows beside {live}" for table, dead, live in bloated[:_SHOWN]),
            "see that autovacuum runs, or clean up by hand",
            *(f"psql $SOJOURN_ARCHIVE_URL -c 'VACUUM sojourn.{table}'" for table, _, _ in bloated[:_SHOWN]),
        )
    if sound:
        yield ok(f"{used} of {most} connections are in use, and no transaction lasts")


def audit(look: Look) -> Iterator[Finding]:
    """Whether the chain of each tenant ends as it is noted; the chains as a whole are verified elsewhere."""
    from sojourn.archive.database import connected, statement

    url = look.settings.archive_url or ""
    try:
        with connected(url, _timeout_s(look.settings)) as connection:
            broken = [row[0] for row in connection.execute(statement("broken_ends"), {"limit": 1_000})]
    except ArchiveError as problem:
        yield info(f"could not be looked at: {problem}", "see the check 'archive'", "sojourn doctor --check archive")
        return
    if broken:
        yield error(
            f"the audit trails of {len(broken)} tenants do not end as noted, such as those of "
            + ", ".join(sorted(broken)[:_SHOWN]),
            "have the chains verified, and find out who can write those tables",
            *(f"sojourn audit verify --tenant {each}" for each in sorted(broken)[:_SHOWN]),
        )
    else:
        yield ok("each tenant's audit trail ends as noted; verify goes through all of it")


def clock_ahead_s(settings: Settings) -> float | None:
    """By how much PostgreSQL's clock is ahead of this machine's, in seconds; None where it does not answer."""
    from sojourn.archive.database import connected

    try:
        with connected(settings.archive_url or "", _timeout_s(settings)) as connection:
            before_s = time.time()
            row: Any = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
            return float(row[0]) - (before_s + time.time()) / 2
    except (ArchiveError, SettingsError):
        return None
