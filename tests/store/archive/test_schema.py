"""The tables: up, down, as SQL, two at once, and the check of their version."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

import sojourn.archive
from sojourn import Settings
from sojourn.archive import HEAD, Archive, archive_once, downgrade, init
from sojourn.errors import ArchiveError, ArchiveSchemaMismatch, SettingsError, SojournError

TABLES = ["alembic_version", "partitions", "session_entries", "session_events", "session_snapshots", "sessions"]
_OF_SCHEMA = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'sojourn' ORDER BY 1"


def tables(url: str) -> list[str]:
    """Return the tables in the archive's schema."""
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(_OF_SCHEMA)]


def schemas(url: str) -> int:
    """Return how many schemas are called as the archive's."""
    with psycopg.connect(url) as connection:
        return len(connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'sojourn'").fetchall())


def test_up_and_down(postgres_url: str) -> None:
    """`init` makes the tables, again changes nothing, and `downgrade` leaves nothing behind."""
    assert init(postgres_url) == HEAD
    assert tables(postgres_url) == TABLES
    assert init(postgres_url) == HEAD
    assert downgrade(postgres_url) == "base"
    assert schemas(postgres_url) == 0
    assert downgrade(postgres_url) == "base"
    assert init(postgres_url) == HEAD


def test_down_leaves_what_others_keep(postgres_url: str) -> None:
    """A table of somebody else's in the schema survives the removal of ours."""
    init(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE sojourn.mine ()")
    downgrade(postgres_url)
    assert tables(postgres_url) == ["mine"]


def test_offline_sql(postgres_url: str) -> None:
    """The SQL for review does the same as `init` and `downgrade`, and producing it touches no database."""
    up, down = init("postgresql://nobody@nowhere.invalid/x", sql=True), downgrade(postgres_url, sql=True)
    assert tables(postgres_url) == []
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(up.encode())
        assert tables(postgres_url) == TABLES
        assert init(postgres_url) == HEAD
        connection.execute(down.encode())
    assert schemas(postgres_url) == 0


def test_two_at_once(postgres_url: str) -> None:
    """Several `init`s at once on an empty database all succeed."""
    barrier = threading.Barrier(4)

    def one(_: int) -> str:
        barrier.wait()
        return init(postgres_url)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [HEAD] * 4


def test_head_is_the_last_migration() -> None:
    """The version that the code checks for is the one that the migrations lead to."""
    migrations = Path(sojourn.archive.__file__).parent / "migrations"
    assert ScriptDirectory(str(migrations)).get_current_head() == HEAD


def test_mismatches_say_what_to_do(any_redis_url: str, postgres_url: str) -> None:
    """Missing, older and newer tables are told apart, by the run and by the reader."""
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    with sojourn.SessionStore(settings=settings) as store:
        store.create()
    with pytest.raises(ArchiveSchemaMismatch, match="no tables yet: run 'sojourn archive init'"):
        archive_once(settings)
    with pytest.raises(ArchiveSchemaMismatch, match="run 'sojourn archive init'"):
        Archive(settings).counts()
    init(postgres_url)
    for held, advice in (("0000", "run 'sojourn archive init'"), ("9999", "install the newer Sojourn")):
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE sojourn.alembic_version SET version_num = %s", (held,))
        with pytest.raises(ArchiveSchemaMismatch, match=advice):
            archive_once(settings)
    with pytest.raises(ArchiveSchemaMismatch, match="install the newer Sojourn"):
        init(postgres_url)


def test_refusals_are_plain(postgres_url: str) -> None:
    """Bad URLs, unknown versions, missing rights: one line each, and never a password."""
    for url in ("postgresql://ada:s3cret@[", "host=x password=s3cret colour=blue", "nonsense s3cret"):
        with pytest.raises(SettingsError) as caught:
            init(url)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(SojournError, match="cannot be taken back"):
        downgrade(postgres_url, "4711")
    with psycopg.connect(postgres_url) as connection:
        name = "nobody_" + connection.info.dbname
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 's3cret'".encode())
    try:
        with pytest.raises(ArchiveError, match="InsufficientPrivilege") as refused:
            init(postgres_url.replace(postgres_url.split("//")[1].split("@")[0], f"{name}:s3cret"))
        assert "s3cret" not in str(refused.value)
        assert "\n" not in str(refused.value)
    finally:
        with psycopg.connect(postgres_url) as connection:
            connection.execute(f"DROP ROLE {name}".encode())


def test_needs_utf8(postgres_url: str) -> None:
    """A database of another encoding is refused before anything is made in it."""
    other = postgres_url.rpartition("/")[2] + "_latin"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {other} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode())
        try:
            with pytest.raises(ArchiveError, match="UTF8"):
                init(f"{postgres_url.rpartition('/')[0]}/{other}")
        finally:
            connection.execute(f"DROP DATABASE {other}".encode())


@pytest.mark.parametrize("package", ["psycopg", "alembic"])
def test_without_the_extra(package: str) -> None:
    """Without its packages, the archive says what to install."""
    code = f"import sys; sys.modules[{package!r}] = None\nfrom sojourn.archive import init; init('', sql=True)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sojourn.errors.SojournError: the archive")
    assert "pip install 'sojourn[worker]'" in last
