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
from tests.store.examples import JobSession

import sojourn.archive
from sojourn import DocumentationSession, Settings
from sojourn.archive import HEAD, Archive, archive_once, init, migrate
from sojourn.errors import ArchiveError, ArchiveSchemaMismatch, InvalidInput, SettingsError

TABLES = [
    "alembic_version", "audit", "audit_heads", "partitions", "session_entries", "session_events", "session_snapshots",
    "sessions", "tenants",
]  # fmt: skip
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
    """`init` makes the tables, again changes nothing, and going down to `base` leaves nothing behind."""
    assert init(postgres_url) == HEAD
    assert tables(postgres_url) == TABLES
    assert init(postgres_url) == HEAD
    assert migrate(postgres_url, "base") == "base"
    assert schemas(postgres_url) == 0
    assert migrate(postgres_url, "base") == "base"
    assert schemas(postgres_url) == 0
    for to in ("0001", "head", "0001", "0001", "0002", "0003", "0002", "base"):
        assert migrate(postgres_url, to) == (HEAD if to == "head" else to)
        assert migrate(postgres_url, to, sql=True) == "", "it is there already"


def shape(url: str) -> list[tuple[object, ...]]:
    """Return the columns, indexes, triggers and functions of the archive's tables."""
    with psycopg.connect(url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
            "WHERE table_schema = 'sojourn' ORDER BY 1, 2"
        ).fetchall()
        return (
            columns
            + connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'sojourn' ORDER BY 1").fetchall()
            + connection.execute(
                "SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
                "WHERE relnamespace = to_regnamespace('sojourn') ORDER BY 1"
            ).fetchall()
            + connection.execute(
                "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = to_regnamespace('sojourn') ORDER BY 1"
            ).fetchall()
        )


def test_a_way_down_and_up_again_ends_where_it_began(postgres_url: str) -> None:
    """Each version has the same columns and indexes, whichever way it was come to, by hand or by the SQL."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for to in ("0001", "0002", "0003", "0001", "0003", "0002", "0003"):
        migrate(postgres_url, to)
        assert found.setdefault(to, shape(postgres_url)) == shape(postgres_url)
    for to in ("0002", "0001", "0003", "base", "0001", "0002", "0003", "base"):
        sql = migrate(postgres_url, to, sql=True)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql.encode())
        assert shape(postgres_url) == found.get(to, [])


def test_down_leaves_what_others_keep(postgres_url: str) -> None:
    """A table of somebody else's in the schema survives the removal of ours."""
    init(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE sojourn.mine ()")
    migrate(postgres_url, "base")
    assert tables(postgres_url) == ["mine"]


def test_offline_sql(postgres_url: str) -> None:
    """The SQL for review does the same as `init` and `migrate`, and producing it changes nothing."""
    up = init("postgresql://nobody@nowhere.invalid/x", sql=True)
    assert up == migrate(postgres_url, sql=True)
    assert tables(postgres_url) == []
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(up.encode())
        assert tables(postgres_url) == TABLES
        assert init(postgres_url) == HEAD
        down = migrate(postgres_url, "base", sql=True)
        assert tables(postgres_url) == TABLES
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
    for sql in (False, True):
        with pytest.raises(ArchiveSchemaMismatch, match="install the newer Sojourn"):
            migrate(postgres_url, sql=sql)


def test_refusals_are_plain(postgres_url: str) -> None:
    """Bad URLs, unknown versions, missing rights: one line each, and never a password."""
    for url in ("postgresql://ada:s3cret@[", "host=x password=s3cret colour=blue", "nonsense s3cret"):
        with pytest.raises(SettingsError) as caught:
            init(url)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidInput, match="no version '4711' of the archive's tables: base, 0001, 0002, 0003 or head"):
        migrate(postgres_url, "4711")
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


def _rows(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT id::text, indexed FROM sojourn.sessions").fetchall()
    return {session_id: sorted(indexed) for session_id, indexed in found}


def test_indexed_fields_of_earlier_rows(settings: Settings) -> None:
    """Rows archived at version 0001 get the same `indexed` on the way up as those that are archived now."""
    with (
        sojourn.SessionStore(settings=settings, model=JobSession) as jobs,
        sojourn.SessionStore(settings=settings, model=DocumentationSession, tenant="acme.x-1") as documents,
    ):
        for number in range(20):
            jobs.create(
                owner=None if number % 3 else f"ada: {number}",
                tags=["a", "a,b", 'quoted "tag"', "ümlaut \\"][: number % 5],
                client_type="cli",
                queue=f"q/{number}:x",
                labels=("x", "y")[: number % 3],
            )
            documents.create(workspace_id="w%1", module_name="m")
        archive_once(settings, models=settings.load_models(JobSession))
        archived_unknown = jobs.create(labels=("z",))
        archive_once(settings)  # which knows no JobSession, so its lists are archived as text
    url = str(settings.archive_url)
    now = _rows(url)
    assert len(now) == 41
    assert now[archived_unknown.id] == ["default/labels:z", "default/queue:default"]
    migrate(url, "0001")
    damaged = {
        "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b01": ("", []),
        "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b02": ('"_indexes": "owner,tags[]", "owner": "", "tags": "[oops"', []),
        "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b03": ('"_indexes": "tags[]", "tags": "{}"', []),
        "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b04": ('"_indexes": "tags[]", "tags": ["a", 1]', ["old/tags:a"]),
        "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b05": (
            '"_indexes": "owner,gone,tags[]", "owner": "ada", "tags": "[\\"b\\"]"', ["old/owner:ada", "old/tags:b"]
        ),
    }  # fmt: skip
    with psycopg.connect(url) as connection:
        for session_id, (data, _) in damaged.items():
            connection.execute(
                "INSERT INTO sojourn.sessions (tenant, id, kind, status, version, tags, created_at, updated_at, "
                "accessed_at, data) VALUES ('old', %s, 'session', 'pending', 1, '{}', now(), now(), now(), %s)",
                (session_id, f"{{{data}}}"),
            )
    migrate(url)
    assert _rows(url) == now | {session_id: indexed for session_id, (_, indexed) in damaged.items()}
    with sojourn.SessionStore(settings=settings, model=JobSession) as jobs:
        assert jobs.archive.count(where={"labels": "y"}) == len(
            [each for each in now.values() if "default/labels:y" in each]
        )
