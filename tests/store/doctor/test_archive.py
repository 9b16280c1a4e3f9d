"""The archive: without tables or rights, behind, short of connections, or with an audit trail that ends otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.store.doctor.conftest import World
from tests.waiting import eventually

from sojourn.archive import archive_once, init, migrate
from sojourn.doctor import archive
from sojourn.errors import ArchiveError

CHECKS = ("archive", "dirty", "runs", "connections", "audit")


@pytest.fixture
def archived(any_world: World, postgres_url: str) -> World:
    """Give a deployment with an archive that is up to date."""
    init(postgres_url)
    any_world.settings = any_world.settings.model_copy(update={"archive_url": postgres_url})
    archive_once(any_world.settings)
    return any_world


@contextmanager
def _sql(world: World) -> Iterator[Any]:
    with psycopg.connect(world.settings.archive_url or "", autocommit=True) as connection:
        yield connection


def test_all_is_well(archived: World) -> None:
    """Up to date: nothing to complain of; without an archive none of these checks is made but one."""
    assert [each for each in archived.examine(*CHECKS) if each.severity != "ok"] == []
    without = archived.settings.model_copy(update={"archive_url": None})
    archived.settings = without
    assert [each.check for each in archived.examine(*CHECKS)] == ["dirty"]


def test_no_tables(any_world: World, postgres_url: str) -> None:
    """An error with the command that makes them, and then none."""
    any_world.settings = any_world.settings.model_copy(update={"archive_url": postgres_url})
    (found,) = any_world.find("archive")
    assert (found.severity, found.commands[0]) == ("error", "sojourn archive init")
    init(postgres_url)
    assert any_world.find("archive") == []


def test_tables_of_another_version(archived: World) -> None:
    """Older ones: an error whose command makes them current; newer ones: one that says so, and leaves them alone."""
    url = archived.settings.archive_url or ""
    migrate(url, "0002")
    (found,) = archived.find("archive")
    assert (found.severity, "version 0002" in found.found) == ("error", True)
    assert found.commands[0] == "sojourn archive init"
    init(url)
    assert archived.find("archive") == []
    with _sql(archived) as connection:
        connection.execute("UPDATE sojourn.alembic_version SET version_num = '9999'")
        (found,) = archived.find("archive")
        assert (found.severity, "9999" in found.found) == ("error", True)
        assert "sojourn archive init" not in found.commands


def test_rights(archived: World) -> None:
    """A login that may read but not write."""
    with _sql(archived) as connection:
        connection.execute("DROP ROLE IF EXISTS doctor_reader")
        connection.execute("CREATE ROLE doctor_reader LOGIN PASSWORD 'x'")
        connection.execute("GRANT USAGE ON SCHEMA sojourn TO doctor_reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA sojourn TO doctor_reader")
        url = archived.settings.archive_url or ""
        parts: dict[str, Any] = {**psycopg.conninfo.conninfo_to_dict(url), "user": "doctor_reader", "password": "x"}
        archived.settings = archived.settings.model_copy(
            update={"archive_url": psycopg.conninfo.make_conninfo(**parts)}
        )
        (found,) = archived.find("archive")
        assert "temporary" not in found.found
        database = connection.info.dbname
        connection.execute(f'REVOKE TEMPORARY ON DATABASE "{database}" FROM PUBLIC')
        (without_temporary,) = archived.find("archive")
        assert "temporary tables" in without_temporary.found
        connection.execute(f'GRANT TEMPORARY ON DATABASE "{database}" TO PUBLIC')
        connection.execute("DROP OWNED BY doctor_reader")
        connection.execute("DROP ROLE doctor_reader")
    assert (found.severity, "may not change" in found.found, "sessions" in found.found) == ("error", True, True)


def test_what_waits(archived: World) -> None:
    """For longer than the alarm: an error."""
    archived.store.create()
    archived.settings = archived.settings.model_copy(update={"dirty_alarm": 0.05})
    (found,) = eventually(lambda: archived.find("dirty"))
    assert found.severity == "error"
    assert "sojourn archive run" in found.commands
    archive_once(archived.settings)
    assert archived.find("dirty") == []


def test_a_run_that_failed(archived: World, free_port: int) -> None:
    """Told until one ends well."""
    url = archived.settings.archive_url
    nowhere = archived.settings.model_copy(
        update={"archive_url": f"postgresql://127.0.0.1:{free_port}/x", "archive_timeout": 1.0}
    )
    archived.store.create()
    with pytest.raises(ArchiveError):
        archive_once(nowhere)
    (found,) = archived.find("runs")
    assert (found.severity, "is not available" in found.found) == ("warning", True)
    archive_once(archived.settings.model_copy(update={"archive_url": url}))
    assert archived.find("runs") == []


def test_connections_and_transactions(archived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few are left; somebody keeps a transaction open; dead rows pile up."""
    for bound, severity in ((1e-6, "error"), (0.95, "warning")):
        monkeypatch.setattr(archive, "_NEARLY", 1e-6)
        monkeypatch.setattr(archive, "_ALMOST", bound)
        (found,) = archived.find("connections")
        assert (found.severity, "are in use" in found.found) == (severity, True)
    monkeypatch.undo()
    monkeypatch.setattr(archive, "_LONG_S", 0.01)
    with psycopg.connect(archived.settings.archive_url or "") as other:
        other.execute("SELECT 1")
        (found,) = eventually(lambda: archived.find("connections"))
    assert (found.severity, "has been open for" in found.found) == ("warning", True)
    assert eventually(lambda: not archived.find("connections"))


def test_dead_rows(archived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than live ones: worth knowing, with the command that cleans up."""
    monkeypatch.setattr(archive, "_DEAD_ROWS", 3)
    with _sql(archived) as connection:
        connection.execute("ALTER TABLE sojourn.sessions SET (autovacuum_enabled = off)")
        for _ in range(8):
            connection.execute("UPDATE sojourn.sessions SET owner = owner")
        connection.execute("SELECT pg_stat_force_next_flush()")
    (found,) = eventually(lambda: archived.find("connections"))
    assert (found.severity, "VACUUM sojourn.sessions" in found.commands[0]) == ("info", True)


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM sojourn.audit WHERE seq = LAST",
        "UPDATE sojourn.audit SET hash = decode(repeat('00', 32), 'hex') WHERE seq = LAST",
        "UPDATE sojourn.audit SET seq = seq + 1 WHERE seq = LAST",
    ],
    ids=["cut off", "changed", "moved"],
)
def test_an_audit_trail_that_does_not_end_as_noted(archived: World, spoil: str) -> None:
    """An error that names the tenant, and how to look at the whole chain."""
    with _sql(archived) as connection:
        connection.execute("SET session_replication_role = replica")
        last = "(SELECT max(seq) FROM sojourn.audit)"
        assert connection.execute(spoil.replace("LAST", last)).rowcount == 1
    (found,) = archived.find("audit")
    assert (found.severity, found.commands) == ("error", ("sojourn audit verify --tenant default",))


def test_clock_of_postgres(archived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compared with Redis's; where it cannot be asked, the check of the archive says so."""
    assert archived.find("clock") == []
    ahead_s = archive.clock_ahead_s
    assert abs(ahead_s(archived.settings) or 0) < 2
    monkeypatch.setattr(archive, "clock_ahead_s", lambda settings: (ahead_s(settings) or 0) + 9)
    (found,) = archived.find("clock")
    assert "PostgreSQL's clock is 9.0 s ahead of Redis's" in found.found


def test_writers_go_on_while_postgres_lets_us_wait(archived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they tell meanwhile is no sign that Redis's clock went back."""
    stream = archived.keys.partition.events

    def wait(_: Any) -> None:
        seconds, _micros = archived.client.time()
        archived.client.xadd(stream, {"type": "x"}, id=f"{(seconds + 9) * 1000}-0")

    monkeypatch.setattr(archive, "clock_ahead_s", wait)
    assert archived.find("clock") == []


def test_runs_of_which_redis_tells_nothing(archived: World, free_port: int) -> None:
    """Where Redis is away it is not said that there was none."""
    archived.settings = archived.settings.model_copy(
        update={"redis_url": f"redis://127.0.0.1:{free_port}", "retries": 0}
    )
    found = archived.find("runs")[-1]
    assert found.severity == "info"
    assert found.found.startswith("could not be looked at: Redis at ")
