"""Reading the archive: one session, lists, logs, counts."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.store.archive.helpers import note
from tests.store.examples import JobSession
from tests.store.test_signatures import methods, told

from sojourn import AsyncSessionStore, DocumentationSession, Log, Session, SessionStore, Settings, Status
from sojourn.archive import Archive, ArchiveReport, AsyncArchive, archive_once
from sojourn.errors import (
    InvalidCursor,
    InvalidField,
    InvalidId,
    InvalidInput,
    InvalidName,
    SessionCorrupt,
    SessionNotFound,
    SettingsError,
    WrongKind,
)

_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}
_UNKNOWN = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


@pytest.fixture
def archive(settings: Settings) -> Archive[Session]:
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


def test_pages_are_complete(archive: Archive[Session]) -> None:
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


def test_filters(archive: Archive[Session]) -> None:
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


def test_bad_input(archive: Archive[Session]) -> None:
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
        ({"where": {"module_name": "m"}}, InvalidField),
        ({"where": ["owner"]}, InvalidInput),
        ({"predicate": 1}, InvalidInput),
    ):
        with pytest.raises(error):
            archive.list(**wanted)
    for call in (archive.get, archive.history, lambda each: archive.entries(each, DocumentationSession.notes)):
        with pytest.raises(InvalidId):
            call("1; DROP TABLE sessions")
    with pytest.raises(InvalidInput):
        archive.entries(_UNKNOWN, DocumentationSession.notes, start=-1)
    with pytest.raises(InvalidName):
        archive.for_tenant("a b")


def test_missing(archive: Archive[Session]) -> None:
    """What the archive does not hold is not found; a session of another tenant is none of ours."""
    with pytest.raises(SessionNotFound):
        archive.get(_UNKNOWN)
    with pytest.raises(SessionNotFound):
        archive.entries(_UNKNOWN, DocumentationSession.notes)
    assert archive.history(_UNKNOWN) == []
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


def test_by_url_or_settings(settings: Settings, archive: Archive[Session]) -> None:
    """An archive is opened by its URL or by settings, for a tenant or the settings' own."""
    by_url = Archive(settings.archive_url, settings.load_models(), tenant="acme")
    assert repr(by_url) == "Archive(model=Session, tenant='acme')"
    assert len(by_url.for_tenant("default").list().sessions) == 30
    with pytest.raises(SettingsError, match="archive_url is not set"):
        Archive(settings.model_copy(update={"archive_url": None}))
    assert ArchiveReport(sessions=2).to_json()["sessions"] == 2


def test_where_and_kind(settings: Settings) -> None:
    """Indexed fields of a user's own model are filters, by the store's model or by the kind; pages are typed by it."""
    with SessionStore(settings=settings, model=JobSession) as jobs, SessionStore(settings=settings) as plain:
        made = [jobs.create(queue=f"q{number % 3}", labels=("x", "y")[: number % 3]) for number in range(12)]
        plain.create()
        archive_once(settings)
        archive = jobs.archive
        assert archive.count() == 12
        assert {each.queue for each in archive.list(where={"queue": "q1"}).sessions} == {"q1"}
        assert archive.count(where={"queue": "q2", "labels": "y"}) == 4
        assert archive.count(where={"queue": "q1", "labels": "y"}) == 0
        for wanted in ({"queue": "q0"}, {"labels": "x"}, {"owner": "nobody"}):
            assert archive.list(where=wanted).sessions == jobs.list(where=wanted).sessions
            assert archive.count(where=wanted) == jobs.count(where=wanted)
        assert archive.get(made[0].id) == made[0]
        everything = plain.archive
        assert everything.count() == 13
        other = everything.list(kind="session").sessions[0]
        with pytest.raises(WrongKind):
            archive.get(other.id)
        with pytest.raises(InvalidField):
            everything.list(where={"queue": "q1"})
        assert Archive(settings, jobs._context.models).count(kind="job", where={"queue": "q1"}) == 4
        assert plain.for_tenant("acme").archive.tenant == "acme"


def test_predicates(archive: Archive[Session]) -> None:
    """A predicate chooses, across as many looks as it takes, and the cursor goes on behind the last one looked at."""
    whole = archive.list(limit=1000).sessions
    odd = [each for number, each in enumerate(whole) if number % 2]
    ids = {each.id for each in odd}
    page = archive.list(predicate=lambda each: each.id in ids, limit=10)
    rest = archive.list(predicate=lambda each: each.id in ids, limit=10, cursor=page.cursor)
    assert [*page.sessions, *rest.sessions] == odd
    assert archive.list(predicate=lambda _: False).cursor is None
    last = archive.list(predicate=lambda each: each.id == whole[-1].id, limit=1)
    assert (last.sessions, last.cursor) == (whole[-1:], None)


def test_predicates_look_again(archive: Archive[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where one look does not see all."""
    monkeypatch.setattr("sojourn.archive.reader._PER_LOOK", 4)
    whole = archive.list(limit=1000).sessions
    assert archive.list(predicate=lambda each: each.id == whole[-1].id, limit=2).sessions == whole[-1:]
    assert archive.list(predicate=lambda each: each.owner == "ada", limit=4).cursor


def test_one_damaged_record_does_not_hide_others(
    archive: Archive[Session], query: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """It is told beside the page, which is as full as without it."""
    whole = archive.list().sessions
    for session, damaged in zip(whole[1:5], ('{"version": "x"}', "{}", "[1]", "null"), strict=True):
        query("UPDATE sojourn.sessions SET data = %s WHERE id = %s RETURNING 1", damaged, session.id)
    page = archive.list(limit=3)
    assert [each.id for each in page.sessions] == [each.id for each in (whole[0], whole[5], whole[6])]
    assert [error.session_id for error in page.damaged] == [each.id for each in whole[1:5]]
    assert archive.list(limit=100, cursor=page.cursor).sessions == whole[7:]
    for each in whole[1:5]:
        with pytest.raises(SessionCorrupt):
            archive.get(each.id)


def test_archives_of_the_stores(settings: Settings, any_redis_url: str) -> None:
    """A store's archive is of its model and tenant; without an archive, or without its packages, it says so."""
    with SessionStore(settings=settings, model=DocumentationSession, tenant="acme") as store:
        assert repr(store.archive) == "Archive(model=DocumentationSession, tenant='acme')"
    with SessionStore(any_redis_url) as plain, pytest.raises(SettingsError, match="archive_url is not set"):
        _ = plain.archive
    code = (
        "import sys; sys.modules['psycopg'] = sys.modules['alembic'] = None\n"
        "import sojourn; sojourn.SessionStore().archive"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "pip install 'sojourn[worker]'" in done.stderr.splitlines()[-1]


@pytest.mark.anyio
async def test_the_asynchronous_twin(settings: Settings, store: SessionStore[DocumentationSession]) -> None:
    """It finds what the archive finds."""
    session = store.create(**_NEW, owner="ada")
    store.append(session.id, DocumentationSession.notes, note())
    archive_once(settings)
    async with AsyncSessionStore(settings=settings, model=DocumentationSession) as twin:
        archive = twin.archive
        assert repr(archive) == "AsyncArchive(model=DocumentationSession, tenant='default')"
        assert await archive.get(session.id) == store.archive.get(session.id) == await archive.restore(session.id)
        assert (await archive.list(owner="ada")).sessions == store.archive.list(owner="ada").sessions
        assert (await archive.count(), await archive.counts()) == (1, {"documentation": {"pending": 1}})
        assert await archive.entries(session.id, DocumentationSession.notes) == [note()]
        assert await archive.history(session.id) == store.archive.history(session.id)
        assert (await archive.for_tenant("acme").list()).sessions == ()
        assert (archive.tenant, archive.model, archive.settings) == ("default", DocumentationSession, settings)


@pytest.mark.parametrize("name", ["__init__", *sorted(methods(Archive) | methods(AsyncArchive))])
def test_same_signatures(name: str) -> None:
    """The archive and its asynchronous twin have the same methods with the same parameters, defaults and results."""
    one, other = getattr(Archive, name), getattr(AsyncArchive, name)
    assert told(inspect.signature(one)) == told(inspect.signature(other))
    assert one.__doc__ or name == "__init__"
    assert inspect.iscoroutinefunction(other) == (name not in ("__init__", "for_tenant"))
