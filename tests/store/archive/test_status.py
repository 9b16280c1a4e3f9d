"""How the archive is doing: what waits, how the last run went, and what can be told while a server is away."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import redis
from tests.conftest import OwnRedis
from tests.store.archive.helpers import keys_of, note

from sojourn import DocumentationSession, SessionStore, Settings
from sojourn.archive import HEAD, archive_once, init, migrate, status
from sojourn.errors import ArchiveUnavailable, SettingsError, StoreUnavailable
from sojourn.metrics import read_metrics

_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}
Store = SessionStore[DocumentationSession]


def test_an_idle_archive(settings: Settings) -> None:
    """Nothing waits, nothing has run, and all is well."""
    found = status(settings)
    assert (found.is_fine, found.dirty, found.lag_s, found.events_lag_s) == (True, 0, 0, 0)
    assert (found.last_run, found.last_error, found.last_error_at) == (None, None, None)
    assert (found.schema_held, found.schema_expected) == (HEAD, HEAD)


def test_what_waits(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """Sessions over all partitions, the age of the first, and events; after a run its report and its rate."""
    made = [store.for_tenant(f"tenant-{number}").create(**_NEW) for number in range(5)]
    store.create(**_NEW)
    oldest = keys_of(made[0].tenant)
    seconds, _ = raw.time()
    raw.zadd(oldest.partition.dirty, {oldest.member(made[0].id): (seconds - 90) * 1000})
    found = status(settings)
    assert found.dirty == 6
    assert found.lag_s is not None
    assert 90 <= found.lag_s < 120

    store.append(store.create(**_NEW).id, DocumentationSession.notes, note())
    before = datetime.now(UTC)
    report = archive_once(settings)
    found = status(settings)
    assert (found.dirty, found.lag_s, found.events_lag_s) == (0, 0, 0)
    assert found.last_run is not None
    assert abs((found.last_run.at - before).total_seconds()) < 60
    assert found.last_run.report.duration_s == pytest.approx(report.duration_s, abs=0.001)
    assert found.last_run.report.to_json() | {"duration_s": 0} == report.to_json() | {"duration_s": 0}
    assert found.last_run.rate == pytest.approx(7 / report.duration_s, rel=0.1)
    assert (found.last_run.report.sessions, found.last_run.report.entries, found.last_run.report.complete) == (
        7,
        1,
        True,
    )
    told = json.loads(json.dumps(found.to_json()))
    assert told["last_run"]["sessions"] == 7
    assert told["last_run"]["at"] == found.last_run.at.isoformat()


def test_a_failed_run_leaves_its_error(
    settings: Settings, store: Store, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The first line of it, without a password, and when; the run that succeeds next is seen by its time."""
    store.create(**_NEW)
    away = settings.model_copy(update={"archive_url": f"postgresql://ada:s3cret@127.0.0.1:{free_port}/x"})
    with pytest.raises(ArchiveUnavailable):
        archive_once(away)
    found = status(away)
    assert found.last_run is None
    assert found.last_error is not None
    assert found.last_error.startswith(f"the archive 127.0.0.1:{free_port}/x is not available")
    assert found.last_error_at is not None
    assert "s3cret" not in json.dumps(found.to_json())
    assert "\n" not in found.last_error
    assert found.archive_problem is not None
    assert not found.is_fine
    assert (found.dirty, found.schema_held, found.redis_problem) == (1, None, None)

    archive_once(settings)
    found = status(settings)
    assert found.last_run is not None
    assert found.last_error_at is not None
    assert found.last_run.at >= found.last_error_at
    assert found.is_fine


def test_errors_that_are_not_ours_are_told_by_type(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their message might quote what was stored."""

    def fail(*_: Any) -> None:
        raise ValueError("a stored value")

    store.create(**_NEW)
    monkeypatch.setattr("sojourn.archive.run.check_schema", fail)
    with pytest.raises(ValueError, match="a stored value"):
        archive_once(settings)
    assert status(settings).last_error == "ValueError"


def test_redis_away(settings: Settings, free_port: int) -> None:
    """What PostgreSQL tells is told nevertheless."""
    found = status(settings.model_copy(update={"redis_url": f"redis://:s3cret@127.0.0.1:{free_port}/0"}))
    assert (found.dirty, found.lag_s, found.events_lag_s) == (None, None, None)
    assert found.redis_problem is not None
    assert "s3cret" not in found.redis_problem
    assert (found.schema_held, found.archive_problem, found.is_fine) == (HEAD, None, False)


def test_other_tables(settings: Settings) -> None:
    """Tables of another version, or none, are a problem that says what to do."""
    url = str(settings.archive_url)
    migrate(url, "0001")
    found = status(settings)
    assert (found.schema_held, found.is_fine) == ("0001", False)
    assert "run 'sojourn archive init'" in str(found.archive_problem)
    migrate(url, "base")
    found = status(settings)
    assert (found.schema_held, found.is_fine) == (None, False)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA sojourn")
    init(url)
    assert status(settings).is_fine
    with pytest.raises(SettingsError):
        status(settings.model_copy(update={"archive_url": None}))


def test_another_layout(settings: Settings, store: Store) -> None:
    """A Redis that was laid out with another number of partitions tells nothing that could be trusted."""
    store.create(**_NEW)
    found = status(settings.model_copy(update={"partitions": 8}))
    assert "partitions=64" in str(found.redis_problem)
    assert found.dirty is None


def test_what_other_hands_wrote_is_no_obstacle(settings: Settings, raw: redis.Redis) -> None:
    """A damaged note of the last run is read as far as it can be."""
    raw.hset("sojourn:archive", mapping={"last_run_at_ms": "9" * 40, "sessions": "x", "last_error_at_ms": "soon"})
    assert (status(settings).last_run, status(settings).last_error_at) == (None, None)
    raw.hset("sojourn:archive", "last_run_at_ms", "1000")
    last = status(settings).last_run
    assert last is not None
    assert (last.report.sessions, last.rate) == (0, 0)
    raw.delete("sojourn:archive")
    raw.set("sojourn:archive", "x")
    assert status(settings).redis_problem is not None


def test_a_run_does_not_fail_for_want_of_a_note(
    postgres_url: str, own_redis: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis gone at the end, or its note in the way: the run's own outcome stands."""
    init(postgres_url)
    server = own_redis()
    settings = Settings(redis_url=server.url, archive_url=postgres_url)
    with SessionStore(settings=settings, model=DocumentationSession) as store:
        store.create(**_NEW)
    with redis.Redis.from_url(server.url) as client:
        client.set("sojourn:archive", "x")
    with caplog.at_level(logging.WARNING):
        assert archive_once(settings).sessions == 1
    assert "cannot be noted" in caplog.text
    server.stop()
    with pytest.raises(StoreUnavailable):
        archive_once(settings)


def test_runs_and_rows_are_counted(settings: Settings, store: Store) -> None:
    """What archive runs wrote adds up over runs, and those that failed are told apart."""
    session = store.create(**_NEW)
    away = settings.model_copy(update={"archive_url": "postgresql://127.0.0.1:1/x", "archive_timeout": 0.5})
    with pytest.raises(ArchiveUnavailable):
        archive_once(away)
    archive_once(settings)
    store.append(session.id, DocumentationSession.notes, note())
    store.complete(session.id)
    archive_once(settings)
    found = read_metrics(settings)
    assert found.archive_runs == {"ok": 2, "failed": 1}
    assert found.archive_rows["sessions"] == 2
    assert found.archive_rows["entries"] == 1
    assert found.archive_rows["events"] == 3
