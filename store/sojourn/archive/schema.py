"""The archive's tables: making, removing and checking them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import psycopg

from sojourn.archive.database import Connection, connect, connected, place, translated
from sojourn.errors import ArchiveSchemaMismatch, InvalidInput, SojournError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Connection as Engaged

__all__ = ["HEAD", "Migration", "check_schema", "foresee", "held_version", "init", "migrate", "read_version"]

HEAD: Final = "0003"
"""The version of the tables that this code works with; the last migration's."""
_BASE: Final = ""
"""No tables at all: the version before the first."""
_TIMEOUT_S: Final = 60.0
_DROPPED: Final = re.compile(r"DROP TABLE sojourn\.([a-z_]+)")
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x50_4A_52_4E
"""The advisory lock under which one migration at a time runs; any number, but always the same."""


def init(url: str, *, sql: bool = False, timeout_s: float = _TIMEOUT_S) -> str:
    """Make the archive's tables, or bring them to this version; several calls at once wait for each other.

    Args:
        url: the archive's database, ``postgresql://...``.
        sql: change nothing, but return the SQL that would make the tables in an empty database, for review; the
            server is not asked for anything.
        timeout_s: seconds that one statement, and waiting for another migration, may take.

    Returns:
        The SQL, or else the version that the tables now have.

    Raises:
        SojournError: what `migrate` raises.

    Example:
        >>> "CREATE TABLE sojourn.sessions" in init("postgresql://localhost/sojourn", sql=True)
        True
    """
    return _script(_BASE, HEAD) if sql else migrate(url, timeout_s=timeout_s)


def migrate(url: str, to: str = "head", *, sql: bool = False, timeout_s: float = _TIMEOUT_S) -> str:
    """Bring the archive's tables up or down to a version; several calls at once wait for each other.

    Args:
        url: the archive's database, ``postgresql://...``.
        to: a version such as ``0001``; ``head`` for this code's own, ``base`` for none. Going down drops what the
            version below has no place for; ``base`` removes all that is in the archive.
        sql: change nothing, but return the SQL that would do it, for review; it begins where the tables are now.
        timeout_s: seconds that one statement, and waiting for another migration, may take.

    Returns:
        The SQL, or else the version that the tables now have; ``base`` for none.

    Raises:
        InvalidInput: there is no such version.
        ArchiveUnavailable: the server did not answer in time.
        ArchiveSchemaMismatch: the tables are of a later version than this code knows.
        ArchiveError: the server refused, for example for want of rights.

    Example:
        >>> migrate("postgresql://localhost/sojourn", "0001")  # doctest: +SKIP
        '0001'
    """
    command = _command()
    target = _known(to)
    if sql:
        return _script(_checked(url, held_version(url, timeout_s=timeout_s)), target)
    with _migrating(url, timeout_s, make=target != _BASE) as connection, _config(connection) as (config, _):
        held = _checked(url, _version(connection))
        if target > held:
            command.upgrade(config, target)
        elif target < held:
            command.downgrade(config, target or "base")
        if target == _BASE:
            _drop_schema(connection)
    return target or "base"


@dataclass(frozen=True)
class Migration:
    """What a migration would do."""

    held: str | None
    """The version of the tables now; None: there are none."""
    to: str
    """The version that they would have; ``base`` for none."""
    goes_down: bool
    """Whether that drops data."""
    tables: Mapping[str, int]
    """Going down: the tables that would go, and the rows that each has."""


def held_version(url: str, *, timeout_s: float = _TIMEOUT_S) -> str | None:
    """The version of the tables that the archive holds; None where there are none.

    Raises:
        ArchiveUnavailable: the server did not answer in time.
        ArchiveError: the server refused.

    Example:
        >>> held_version("postgresql://localhost/sojourn")  # doctest: +SKIP
        '0003'
    """
    with connected(url, timeout_s) as connection:
        return read_version(connection)


def foresee(url: str, to: str, *, timeout_s: float = _TIMEOUT_S) -> Migration:
    """What `migrate` to that version would do; nothing is changed.

    Raises:
        SojournError: what `migrate` raises.

    Example:
        >>> foresee("postgresql://localhost/sojourn", "base").tables  # doctest: +SKIP
        {'sessions': 12000, 'events': 48211}
    """
    target = _known(to)
    with connected(url, timeout_s) as connection:
        held = read_version(connection)
        first = _checked(url, held)
        tables: dict[str, int] = {}
        if target < first:
            script = _script(first, target)
            for name in dict.fromkeys(_DROPPED.findall(script)):
                row = connection.execute(f"SELECT count(*) FROM sojourn.{name}".encode()).fetchone()  # noqa: S608
                tables[name] = int(row[0]) if row else 0
    return Migration(held, target or "base", target < first, tables)


def read_version(connection: Connection) -> str | None:
    """The version of the tables; None where there are none."""
    try:
        row = connection.execute("SELECT version_num FROM sojourn.alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    return None if row is None else str(row[0])


def check_schema(connection: Connection, url: str) -> None:
    """Refuse to work with tables of another version.

    Raises:
        ArchiveSchemaMismatch: says what to do about it.
    """
    held = read_version(connection)
    if held is None:
        raise ArchiveSchemaMismatch(f"the archive {place(url)} has no tables yet: run 'sojourn archive init'")
    if held > HEAD:
        raise ArchiveSchemaMismatch(_too_new(url, held))
    if held != HEAD:
        raise ArchiveSchemaMismatch(
            f"the archive {place(url)} has the tables of version {held}, but this code works with version {HEAD}: "
            "run 'sojourn archive init'"
        )


def _known(to: str) -> str:
    """The version that is meant; versions are told in the order of their names, and none comes before all.

    Raises:
        InvalidInput: there is none.
    """
    versions = _known_versions()
    if to in versions:
        return to
    if to not in ("head", "base"):
        raise InvalidInput(f"there is no version {to!r} of the archive's tables: base, {', '.join(versions)} or head")
    return HEAD if to == "head" else _BASE


def _checked(url: str, held: str | None) -> str:
    """The version that the tables have now, if one can migrate from it.

    Raises:
        ArchiveSchemaMismatch: they were made by a later Sojourn.
    """
    if held is not None and held not in _known_versions():
        raise ArchiveSchemaMismatch(_too_new(url, held))
    return held or _BASE


def _script(held: str, target: str) -> str:
    """The SQL that leads from one version to another."""
    command = _command()
    before = ("CREATE SCHEMA IF NOT EXISTS sojourn",) if held == _BASE else ()
    after = ("DROP TABLE IF EXISTS sojourn.alembic_version", "DROP SCHEMA sojourn") if target == _BASE else ()
    with _config(before=before, after=after) as (config, output):
        if target > held:
            command.upgrade(config, f"{held or 'base'}:{target}", sql=True)
        elif target < held:
            command.downgrade(config, f"{held}:{target or 'base'}", sql=True)
    return output.getvalue()


def _command() -> ModuleType:
    """Alembic, imported only where it is needed, since that takes longer than an archive run."""
    try:
        from alembic import command
    except ImportError as error:
        raise SojournError(
            f"the archive's tables are made by alembic ({error}): pip install 'sojourn[worker]'"
        ) from None
    return command


def _too_new(url: str, version: str) -> str:
    return (
        f"the archive {place(url)} has the tables of version {version}, but this code knows none later than "
        f"{HEAD}: install the newer Sojourn that made them"
    )


@contextmanager
def _config(
    connection: Engaged | None = None, *, before: Sequence[str] = (), after: Sequence[str] = ()
) -> Iterator[tuple[Config, io.StringIO]]:
    """For the migrations, with statements to run before and after them in the same transaction."""
    from alembic.config import Config

    output = io.StringIO()
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes |= {"connection": connection, "before": before, "after": after}
    yield config, output


@contextmanager
def _migrating(url: str, timeout_s: float, *, make: bool) -> Iterator[Engaged]:
    """A transaction in which nobody else migrates, seen through SQLAlchemy, which Alembic needs."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    opened: list[Connection] = []

    def open_one() -> Connection:
        connection = connect(url, timeout_s)
        connection.autocommit = False
        opened.append(connection)
        return connection

    engine = create_engine("postgresql+psycopg://", creator=open_one, poolclass=NullPool)

    @contextmanager
    def plain() -> Iterator[None]:
        with translated(url, timeout_s, opened[0] if opened else None):
            try:
                yield
            except DBAPIError as error:
                raise (error.orig or error) from None

    try:
        with plain():
            own = engine.connect()
        with own, plain(), own.begin():
            own.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            exists = own.exec_driver_sql("SELECT 1 FROM pg_namespace WHERE nspname = 'sojourn'").first()
            if exists is None and make:  # asked first: IF NOT EXISTS alone demands the right to make schemas
                own.exec_driver_sql("CREATE SCHEMA sojourn")
            yield own
    finally:
        engine.dispose()


def _version(connection: Engaged) -> str | None:
    if connection.exec_driver_sql("SELECT to_regclass('sojourn.alembic_version')").scalar() is None:
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM sojourn.alembic_version").scalar()
    return None if found is None else str(found)


@cache
def _known_versions() -> tuple[str, ...]:
    """The versions of all migrations, first to last."""
    _command()
    from alembic.script import ScriptDirectory

    return tuple(sorted(each.revision for each in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()))


def _drop_schema(connection: Engaged) -> None:
    if connection.exec_driver_sql("SELECT to_regnamespace('sojourn')").scalar() is None:
        return
    connection.exec_driver_sql("DROP TABLE IF EXISTS sojourn.alembic_version")
    others = connection.exec_driver_sql(
        "SELECT 1 FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'sojourn'::regnamespace"
    ).first()
    if others is None:  # else somebody keeps things of their own in it
        connection.exec_driver_sql("DROP SCHEMA sojourn")
