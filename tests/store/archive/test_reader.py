"""Reading the archive: one session, lists, logs, counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from tests.store.archive.helpers import note

from sojourn import DocumentationSession, Log, Session, SessionStore, Settings, Status
from sojourn.archive import Archive, ArchiveReport, archive_once
from sojourn.errors import (
    InvalidCursor,
    InvalidField,
    InvalidId,
    InvalidInput,
    InvalidName,
    SessionCorrupt,
    SessionNotFound,
    SettingsError,
)

_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}
_UNKNOWN = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


@pytest.fixture
def archive(settings: Settings) -> Archive:
    """Give an archive of 30 sessions of two kinds and owners, a third of them ended."""
    with SessionStore(settings=settings) as plain, SessionStore(settings=settings, model=DocumentationSession) as store:
        for number in range(15):
            owner = ("ada", "bob")[number % 2]
            made = [plain.create(owner=owner, tags=["even"] if number % 2 == 0 else [], client_type="cli")]
            made.append(store.create(**_NEW, owner=owner))
            if number % 3 == 0:
                plain.complete(made[0].id)
                plain.delete(made[1].id)
        archive_once(settings)
    return Archive(settings)


def test_pages_are_complete(archive: Archive) -> None:
    """Pages of any size give each session once, newest first."""
    whole = archive.list(limit=1000)
    assert whole.cursor is None
    assert len(whole.sessions) == 30
    assert sorted(whole.sessions, key=lambda each: (each.created_at, each.id), reverse=True) == list(whole.sessions)
    for limit in (1, 7, 29, 30):
        found: list[Session] = []
        cursor = None
        while True:
            page = archive.list(limit=limit, cursor=cursor)
            found += page.sessions
            cursor = page.cursor
            if cursor is None:
                break
            assert len(page.sessions) == limit
        assert found == list(whole.sessions)


def test_filters(archive: Archive) -> None:
    """Each filter finds what it says, and they narrow each other."""

    def count(**wanted: Any) -> int:
        return len(archive.list(**wanted).sessions)

    assert count(status="deleted") == 5
    assert count(status=[Status.DELETED, "completed"]) == 10
    assert count(kind="documentation") == 15
    assert count(owner="ada") == 16
    assert count(owner="ada", kind="session", status="pending", tag="even", client_type="cli") == 5
    assert count(tag="odd") == count(client_type="web") == count(owner="eve") == 0
    moment = archive.list().sessions[9].created_at
    assert count(created_after=moment) >= 10
    assert count(created_before=moment - timedelta(milliseconds=1)) <= 20
    assert count(created_after=datetime(2100, 1, 1, tzinfo=UTC)) == 0
    assert archive.counts() == {
        "documentation": {"deleted": 5, "pending": 10},
        "session": {"completed": 5, "pending": 10},
    }


def test_bad_input(archive: Archive) -> None:
    """What cannot match anything is refused before PostgreSQL is asked."""
    cursor = archive.list(limit=1).cursor
    for wanted, error in (
        ({"status": "done"}, InvalidField),
        ({"kind": "No Kind"}, InvalidName),
        ({"limit": 0}, InvalidInput),
        ({"limit": 1001}, InvalidInput),
        ({"created_after": datetime(2024, 1, 1)}, InvalidField),  # noqa: DTZ001
        ({"cursor": "x"}, InvalidCursor),
        ({"cursor": cursor, "owner": "ada"}, InvalidCursor),
        ({"owner": "a\x00"}, InvalidField),
    ):
        with pytest.raises(error):
            archive.list(**wanted)
    for call in (archive.get, archive.events, lambda each: archive.entries(each, DocumentationSession.notes)):
        with pytest.raises(InvalidId):
            call("1; DROP TABLE sessions")
    with pytest.raises(InvalidInput):
        archive.entries(_UNKNOWN, DocumentationSession.notes, start=-1)
    with pytest.raises(InvalidName):
        archive.for_tenant("a b")


def test_missing(archive: Archive) -> None:
    """What the archive does not hold is not found; a session of another tenant is none of ours."""
    with pytest.raises(SessionNotFound):
        archive.get(_UNKNOWN)
    with pytest.raises(SessionNotFound):
        archive.entries(_UNKNOWN, DocumentationSession.notes)
    assert archive.events(_UNKNOWN) == []
    session = archive.list(limit=1).sessions[0]
    with pytest.raises(SessionNotFound):
        archive.get(session.id, tenant="acme")
    assert archive.for_tenant("acme").list().sessions == ()
    assert archive.for_tenant("acme").get(session.id, tenant="default") == session


def test_entries_in_parts(settings: Settings, store: SessionStore[DocumentationSession]) -> None:
    """A stretch of a log, an empty log, and a log that the model does not declare."""
    session = store.create(**_NEW)
    empty = store.create(**_NEW)
    store.append(session.id, DocumentationSession.notes, *[note(str(number)) for number in range(10)])
    archive_once(settings)
    archive = Archive(settings)

    def paths(**wanted: int) -> list[str]:
        return [each.file_path for each in archive.entries(session.id, DocumentationSession.notes, **wanted)]

    assert paths(start=3, count=4) == ["3", "4", "5", "6"]
    assert paths(start=8) == ["8", "9"]
    assert paths(start=10) == []
    assert archive.entries(empty.id, DocumentationSession.notes) == []
    assert archive.entries(session.id, Log(dict, "notes"), count=1)[0]["file_path"] == "0"
    with pytest.raises(SessionCorrupt):
        archive.entries(session.id, Log(int, "notes"))


def test_by_url_or_settings(settings: Settings, archive: Archive) -> None:
    """An archive is opened by its URL or by settings, for a tenant or the settings' own."""
    by_url = Archive(settings.archive_url, settings.load_models(), tenant="acme")
    assert repr(by_url) == "Archive(tenant='acme')"
    assert len(by_url.for_tenant("default").list().sessions) == 30
    with pytest.raises(SettingsError, match="archive_url is not set"):
        Archive(settings.model_copy(update={"archive_url": None}))
    assert ArchiveReport(sessions=2).to_json()["sessions"] == 2


def test_lists_use_their_indexes(settings: Settings, archive: Archive) -> None:
    """A page is read from an index in its order, not sorted out of the whole table."""
    from sojourn.archive.database import statement

    values: dict[str, Any] = {
        "tenant": "default", "statuses": ["pending"], "kinds": None, "owner": None, "client_type": None, "tag": None,
        "oldest": datetime(2000, 1, 1, tzinfo=UTC), "newest": datetime(2100, 1, 1, tzinfo=UTC), "after_id": _UNKNOWN,
        "limit": 10,
    }  # fmt: skip
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute("SET enable_seqscan = off")
        for change in ({}, {"statuses": None, "owner": "ada"}, {"statuses": None, "kinds": ["session"]}):
            plan = connection.execute(b"EXPLAIN " + statement("list_sessions"), values | change).fetchall()
            text = "\n".join(row[0] for row in plan)
            assert "Index Scan Backward using sessions_by_" in text, text
            assert "Sort" not in text, text
