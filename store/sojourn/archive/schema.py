"""The archive's tables: making, removing and checking them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import psycopg

from sojourn.archive.database import Connection, connect, place, translated
from sojourn.errors import ArchiveSchemaMismatch, SojournError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Connection as Engaged

__all__ = ["HEAD", "check_schema", "downgrade", "init"]

HEAD: Final = "0002"
"""The version of the tables that this code works with; the last migration's."""
_TIMEOUT_S: Final = 60.0
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x50_4A_52_4E
"""The advisory lock under which one migration at a time runs; any number, but always the same."""


def init(url: str, *, sql: bool = False, timeout_s: float = _TIMEOUT_S) -> str:
    """Make the archive's tables, or bring them to this version; several calls at once wait for each other.

    Args:
        url: the archive's database, ``postgresql://...``.
        sql: change nothing, but return the SQL that would make the tables in an empty database, for review.
        timeout_s: seconds that one statement, and waiting for another migration, may take.

    Returns:
        The SQL, or else the version that the tables now have.

    Raises:
        ArchiveUnavailable: the server did not answer in time.
        ArchiveSchemaMismatch: the tables are of a later version than this code.
        ArchiveError: the server refused, for example for want of rights.

    Example:
        >>> "CREATE TABLE sojourn.sessions" in init("postgresql://localhost/sojourn", sql=True)
        True
    """
    command = _command()
    if sql:
        with _config(before=("CREATE SCHEMA IF NOT EXISTS sojourn",)) as (config, output):
            command.upgrade(config, "head", sql=True)
        return output.getvalue()
    with _migrating(url, timeout_s) as connection, _config(connection) as (config, _):
        held = _version(connection)
        if held is not None and held not in _known_versions():
            raise ArchiveSchemaMismatch(_too_new(url, held))
        command.upgrade(config, "head")
    return HEAD


def downgrade(url: str, revision: str = "base", *, sql: bool = False, timeout_s: float = _TIMEOUT_S) -> str:
    """Take the tables back to an earlier version; ``base`` removes them, and all that is in the archive.

    Args:
        url: the archive's database.
        revision: the version to go back to.
        sql: change nothing, but return the SQL that would do it from this code's version.
        timeout_s: seconds that one statement may take.

    Returns:
        The SQL, or else the version that the tables now have; ``base`` for none.

    Raises:
        What `init` raises.

    Example:
        >>> "DROP TABLE sojourn.sessions" in downgrade("postgresql://localhost/sojourn", sql=True)
        True
    """
    command = _command()
    from alembic.util import CommandError

    try:
        if sql:
            last = ("DROP TABLE IF EXISTS sojourn.alembic_version", "DROP SCHEMA sojourn") if revision == "base" else ()
            with _config(after=last) as (config, output):
                command.downgrade(config, f"{HEAD}:{revision}", sql=True)
            return output.getvalue()
        with _migrating(url, timeout_s) as connection, _config(connection) as (config, _):
            command.downgrade(config, revision)
            if revision == "base":
                _drop_schema(connection)
    except CommandError as error:
        raise SojournError(f"the archive cannot be taken back: {str(error).splitlines()[0]}") from None
    return revision


def check_schema(connection: Connection, url: str) -> None:
    """Refuse to work with tables of another version.

    Raises:
        ArchiveSchemaMismatch: says what to do about it.
    """
    try:
        row = connection.execute("SELECT version_num FROM sojourn.alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        row = None
    if row is None:
        raise ArchiveSchemaMismatch(f"the archive {place(url)} has no tables yet: run 'sojourn archive init'")
    if row[0] != HEAD:
        if row[0] > HEAD:
            raise ArchiveSchemaMismatch(_too_new(url, row[0]))
        raise ArchiveSchemaMismatch(
            f"the archive {place(url)} has the tables of version {row[0]}, but this code works with version {HEAD}: "
            "run 'sojourn archive init'"
        )


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
def _migrating(url: str, timeout_s: float) -> Iterator[Engaged]:
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
            if exists is None:  # asked first: IF NOT EXISTS alone demands the right to make schemas
                own.exec_driver_sql("CREATE SCHEMA sojourn")
            yield own
    finally:
        engine.dispose()


def _version(connection: Engaged) -> str | None:
    if connection.exec_driver_sql("SELECT to_regclass('sojourn.alembic_version')").scalar() is None:
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM sojourn.alembic_version").scalar()
    return None if found is None else str(found)


def _known_versions() -> frozenset[str]:
    from alembic.script import ScriptDirectory

    return frozenset(each.revision for each in ScriptDirectory(str(_MIGRATIONS)).walk_revisions())


def _drop_schema(connection: Engaged) -> None:
    connection.exec_driver_sql("DROP TABLE sojourn.alembic_version")
    others = connection.exec_driver_sql(
        "SELECT 1 FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'sojourn'::regnamespace"
    ).first()
    if others is None:  # else somebody keeps things of their own in it
        connection.exec_driver_sql("DROP SCHEMA sojourn")
