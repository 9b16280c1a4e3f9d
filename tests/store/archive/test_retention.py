"""Retention: what goes, what stays, and several runs at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.waiting import eventually

from sojourn import ArchiveRetention, DocumentationSession, SessionStore, Settings, load_settings
from sojourn.archive import RetentionReport, apply_retention, archive_once
from sojourn.archive.database import statement
from sojourn.errors import ArchiveSchemaMismatch, ArchiveUnavailable, SettingsError

Query = Callable[..., list[tuple[Any, ...]]]
_DAY = timedelta(days=1)
_FILL = """
WITH made AS (
    INSERT INTO sojourn.sessions
        (tenant, id, kind, status, version, tags, created_at, updated_at, accessed_at, ended_at, data)
    SELECT 't' || number %% 3, gen_random_uuid(), %(kind)s, %(status)s, 1, '{}', now(), now(), now(),
        now() - %(age)s * interval '1 day', '{}'
    FROM generate_series(1, %(count)s) AS number
    RETURNING tenant, id
), entries AS (
    INSERT INTO sojourn.session_entries (tenant, session_id, log, position, entry)
    SELECT tenant, id, 'notes', number, '{}' FROM made, generate_series(1, 2) AS number
), snapshots AS (
    INSERT INTO sojourn.session_snapshots (tenant, session_id, version, updated_at, data)
    SELECT tenant, id, 1, now(), '{}' FROM made
)
INSERT INTO sojourn.session_events (tenant, session_id, id, type, kind, version, at, actor, trace_id, changes)
SELECT tenant, id, '00-0-' || number, 'updated', %(kind)s, 1, now(), '', '', '{}'
FROM made, generate_series(1, 3) AS number
"""
_STRAYS = """
INSERT INTO sojourn.session_events (tenant, session_id, id, type, kind, version, at, actor, trace_id, changes)
SELECT 't' || number %% 3, gen_random_uuid(), '00-0-1', 'created', 'session', 1,
    now() - %s * interval '1 day', '', '', '{}'
FROM generate_series(1, %s) AS number
"""
_LEFT = "SELECT kind, status, count(*) FROM sojourn.sessions GROUP BY 1, 2 ORDER BY 1, 2"


def fill(settings: Settings, count: int, age: float | None, status: str = "completed", kind: str = "session") -> None:
    """Archive sessions that ended so many days ago, or are live, with 2 entries, 3 events and a snapshot each."""
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute(_FILL, {"count": count, "age": age, "status": status, "kind": kind})


def keeping(settings: Settings, *rules: dict[str, Any]) -> Settings:
    """Return the settings with these rules."""
    made = tuple(ArchiveRetention(**each) for each in rules)
    return settings.model_copy(update={"archive_retention": made})


def rest(query: Query) -> tuple[int, ...]:
    """Return how many sessions, entries, events and snapshots are left."""
    names = ("sessions", "session_entries", "session_events", "session_snapshots")
    return tuple(query(f"SELECT count(*) FROM sojourn.{name}")[0][0] for name in names)  # noqa: S608


def test_by_default_everything_is_kept(settings: Settings, query: Query) -> None:
    """Without a rule, and with rules that keep for ever, nothing goes."""
    fill(settings, 5, 30_000)
    assert apply_retention(settings) == RetentionReport()
    assert apply_retention(keeping(settings, {"keep": None}, {"keep": _DAY})).sessions == 0
    assert rest(query) == (5, 10, 15, 5)


def test_the_first_rule_that_matches_counts(settings: Settings, query: Query) -> None:
    """By status, kind and age, and only ended sessions; what belongs to them goes with them."""
    for age, count in ((0.5, 1), (3, 2), (30, 4)):
        for status in ("completed", "expired", "failed"):
            for kind in ("job", "session"):
                fill(settings, count, age, status, kind)
    fill(settings, 8, None, "pending")
    found = keeping(
        settings,
        {"status": "failed", "keep": None},
        {"kind": "job", "status": "expired", "keep": _DAY},
        {"kind": "job", "keep": 7 * _DAY},
        {"keep": 365 * _DAY},
        {"keep": _DAY},  # never reached
    )
    dry = apply_retention(found, dry_run=True)
    assert [each.sessions for each in dry.rules] == [0, 6, 4, 0, 0]
    assert (dry.dry_run, dry.sessions, rest(query)[0]) == (True, 10, 50)
    report = apply_retention(found)
    assert [each.sessions for each in report.rules] == [0, 6, 4, 0, 0]
    assert [(each.entries, each.events, each.snapshots) for each in report.rules][1] == (12, 18, 6)
    assert (report.complete, report.stray_events, report.sessions) == (True, 0, 10)
    assert query(_LEFT) == [
        ("job", "completed", 3), ("job", "expired", 1), ("job", "failed", 7), ("session", "completed", 7),
        ("session", "expired", 7), ("session", "failed", 7), ("session", "pending", 8),
    ]  # fmt: skip
    assert rest(query) == (40, 80, 120, 40)
    assert apply_retention(found).sessions == 0
    assert report.to_json()["rules"][1] == {
        "status": "expired", "kind": "job", "keep_s": 86_400.0, "sessions": 6, "entries": 12, "events": 18,
        "snapshots": 6,
    }  # fmt: skip


def test_stray_events(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old events of sessions that are not archived go; newer ones, and those of archived sessions, stay."""
    monkeypatch.setattr("sojourn.archive.retention._BATCH", 10)
    fill(settings, 40, None, "pending")
    query("UPDATE sojourn.session_events SET at = now() - interval '900 days' RETURNING 1")
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute(_STRAYS, (20, 35))
        connection.execute(_STRAYS, (5, 4))
    assert apply_retention(keeping(settings, {"kind": "job", "keep": _DAY})).stray_events == 0
    assert apply_retention(keeping(settings, {"keep": _DAY}, {"keep": None})).stray_events == 0
    found = keeping(settings, {"keep": 10 * _DAY}, {"keep": _DAY})
    assert apply_retention(found, dry_run=True).stray_events == 35
    assert rest(query)[2] == 120 + 39
    assert apply_retention(found).stray_events == 35
    assert rest(query) == (40, 80, 124, 40)


def test_strays_of_a_large_table_are_found_wherever_the_walk_begins(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk that begins in the middle goes round once, and meets every session once."""
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute(_STRAYS, (20, 250))
    monkeypatch.setattr("sojourn.archive.retention._BATCH", 7)
    middle = query("SELECT tenant, session_id FROM sojourn.session_events ORDER BY 1, 2 OFFSET 120 LIMIT 1")

    def fixed(name: str) -> bytes:
        if name == "any_event_owner":
            return f"SELECT '{middle[0][0]}', '{middle[0][1]}'::uuid".encode()
        return statement(name)

    monkeypatch.setattr("sojourn.archive.retention.statement", fixed)
    found = keeping(settings, {"keep": _DAY})
    assert apply_retention(found, dry_run=True).stray_events == 250
    assert apply_retention(found).stray_events == 250
    assert rest(query)[2] == 0


def test_runs_at_once_share_the_work(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four runs at once remove each session once, and none of them fails."""
    monkeypatch.setattr("sojourn.archive.retention._BATCH", 50)
    fill(settings, 3_000, 30)
    fill(settings, 10, 1)
    found = keeping(settings, {"keep": 7 * _DAY})
    barrier = threading.Barrier(4)

    def one(_: int) -> RetentionReport:
        barrier.wait()
        return apply_retention(found)

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(one, range(4)))
    # What one passes over because another holds it, the other removes.
    assert sum(each.sessions for each in reports) == 3_000
    assert sum(each.rules[0].events for each in reports) == 9_000
    assert rest(query) == (10, 20, 30, 10)


def test_what_others_hold_is_passed_over(settings: Settings, query: Query) -> None:
    """A session that is written at this moment is neither waited for nor removed; the next run has it."""
    fill(settings, 3, 30)
    found = keeping(settings, {"keep": _DAY})
    with psycopg.connect(str(settings.archive_url)) as writer:
        writer.execute("SELECT 1 FROM sojourn.sessions LIMIT 1 FOR UPDATE")
        assert apply_retention(found).sessions == 2
        assert rest(query) == (1, 2, 3, 1)
    assert apply_retention(found).sessions == 1


def test_beside_archive_runs(settings: Settings, store: SessionStore[DocumentationSession], query: Query) -> None:
    """While sessions are archived, and end, and are archived again, retention neither fails nor makes a run fail."""
    found = keeping(settings, {"keep": timedelta(milliseconds=1)})
    done = threading.Event()

    def remove() -> int:
        removed = 0
        while not done.is_set():
            removed += apply_retention(found).sessions
        return removed

    with ThreadPoolExecutor(2) as pool:
        removing = [pool.submit(remove) for _ in range(2)]
        try:
            for _ in range(10):
                made = store.create_many([{"workspace_id": "w", "module_name": "m"}] * 50)
                archive_once(settings)
                for each in made:
                    store.complete(each.id)
                report = archive_once(settings)
                assert (report.sessions, report.lost, report.damaged) == (50, 0, 0)
        finally:
            done.set()
        removed = sum(each.result() for each in removing)
    eventually(lambda: apply_retention(found) and rest(query) == (0, 0, 0, 0))
    assert 0 < removed <= 500


def test_it_stops_in_time_and_goes_on(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose time is over leaves the rest to the next one, and says so."""
    fill(settings, 30, 30)
    found = keeping(settings, {"keep": _DAY})
    report = apply_retention(found, max_seconds=0)
    assert (report.sessions, report.complete, rest(query)[0]) == (0, False, 30)
    assert apply_retention(found).sessions == 30


def test_a_batch_that_takes_too_long_is_made_smaller(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions with very many entries are removed a few at a time, rather than never."""
    fill(settings, 40, 30)
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(0.03); RETURN OLD; END $$; "
            "CREATE TRIGGER slow BEFORE DELETE ON sojourn.sessions FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    monkeypatch.setattr("sojourn.archive.retention._BATCH", 64)
    hasty = keeping(settings, {"keep": _DAY}).model_copy(update={"archive_timeout": 0.7})
    assert apply_retention(hasty).sessions == 40
    assert rest(query)[0] == 0


def test_an_archived_session_may_come_back(
    settings: Settings, store: SessionStore[DocumentationSession], query: Query
) -> None:
    """A session that was removed from the archive, and changes in Redis nevertheless, is archived anew."""
    session = store.create(workspace_id="w", module_name="m")
    archive_once(settings)
    query("UPDATE sojourn.sessions SET ended_at = now() - interval '1 year', status = 'expired' RETURNING 1")
    assert apply_retention(keeping(settings, {"keep": _DAY})).sessions == 1
    assert rest(query) == (0, 0, 0, 0)
    store.update(session.id, owner="ada")
    archive_once(settings)
    assert store.archive.get(session.id) == store.get(session.id)


def test_without_tables_or_server(settings: Settings, postgres_url: str, free_port: int) -> None:
    """Each says what is the matter."""
    found = keeping(settings, {"keep": _DAY})
    with pytest.raises(SettingsError, match="archive_url is not set"):
        apply_retention(found.model_copy(update={"archive_url": None}))
    with pytest.raises(ArchiveUnavailable):
        apply_retention(found.model_copy(update={"archive_url": f"postgresql://127.0.0.1:{free_port}/x"}))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE sojourn.alembic_version SET version_num = '0001'")
    with pytest.raises(ArchiveSchemaMismatch):
        apply_retention(found)


def test_rules_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file takes seconds, ISO 8601 and null; what makes no sense is refused with its place."""
    monkeypatch.chdir(tmp_path)
    Path("sojourn.yaml").write_text(
        "archive_retention:\n- {status: expired, kind: null, keep: 3600}\n- {kind: job, keep: P30D}\n- {keep: null}\n"
    )
    assert load_settings().archive_retention == (
        ArchiveRetention(status="expired", keep=timedelta(hours=1)),
        ArchiveRetention(kind="job", keep=30 * _DAY),
        ArchiveRetention(keep=None),
    )
    monkeypatch.setenv("SOJOURN_ARCHIVE_RETENTION", '[{"keep": 60}]')
    assert load_settings().archive_retention == (ArchiveRetention(keep=timedelta(minutes=1)),)
    for rule, problem in (
        ({"status": "pending", "keep": 5}, "only ended sessions are ever removed"),
        ({"status": "done", "keep": 5}, "archive_retention.0.status"),
        ({"kind": "No Kind", "keep": 5}, "does not match"),
        ({"keep": 0}, "more than zero"),
        ({"keep": -5}, "more than zero"),
        ({"keep": 365 * 200 * _DAY}, "at most 100 years"),
        ({}, "archive_retention.0.keep"),
        ({"keep": 5, "after": 3}, "archive_retention.0.after"),
    ):
        with pytest.raises(SettingsError, match=problem):
            load_settings(archive_retention=[rule])
