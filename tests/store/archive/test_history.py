"""Every version of a session can be told and made live again, from events and the last archived state."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from tests.drivers import KINDS, StoreOpener
from tests.store.archive.helpers import keys_of, note
from tests.waiting import eventually

from sojourn import DocumentationSession, Session, SessionNotFound, SessionStore, Settings, VersionNotFound
from sojourn.archive import archive_once
from sojourn.errors import InvalidInput

Store = SessionStore[DocumentationSession]
_UNKNOWN = "00000000-0000-4000-8000-000000000000"


def _content(session: Session) -> dict[str, Any]:
    """A session without what touches change, which are no versions, and without the exact stamp of its change."""
    return session.model_dump(exclude={"accessed_at", "expires_at", "updated_at"})


def _life(store: Store) -> list[DocumentationSession]:
    """Lead a session through each kind of write; the states at its versions 1, 2, 3 ..."""
    states = [store.create(workspace_id="w", module_name="m", owner="ada", tags=["one"], ttl=600)]
    session_id = states[0].id

    def then(_: object) -> None:
        states.append(store.get(session_id))

    then(store.update(session_id, status="in_progress", metadata={"a": [1, 2.5, None], "b": "ü\n"}))
    then(store.increment(session_id, processed_files=2))
    then(store.append(session_id, DocumentationSession.notes, note("a.py"), note("b.py")))
    then(store.update(session_id, owner=None, tags=[], current_file="x" * 5000))
    then(store.set_ttl(session_id, 1200))
    then(store.increment(session_id, processed_files=-1))
    then(store.update(session_id))
    then(store.append(session_id, DocumentationSession.notes, note("c.py")))
    then(store.persist(session_id))
    states.append(store.complete(session_id, reason="done"))
    return states


@pytest.mark.parametrize("archived", ["at the end", "after each write"])
def test_each_version_as_it_was(store: Store, settings: Settings, archived: str) -> None:
    """Whenever the archive looked, it can tell the state at every version, and at every moment."""
    if archived == "at the end":
        states = _life(store)
    else:
        original = store._run

        def run(build: Any) -> Any:
            found = original(build)
            archive_once(settings)
            return found

        store._run = run  # type: ignore[method-assign]
        states = _life(store)
    archive_once(settings)
    session_id = states[0].id
    for number, state in enumerate(states, 1):
        assert state.version == number
        assert _content(store.archive.restore(session_id, version=number)) == _content(state)
    moments = {state.updated_at: state for state in states}  # of several in one millisecond, the last
    for moment, state in moments.items():
        assert _content(store.archive.restore(session_id, at=moment)) == _content(state)
    assert _content(store.archive.restore(session_id)) == _content(states[-1])
    told = store.archive.history(session_id)
    assert [event.version for event in told] == list(range(1, len(states) + 1))
    assert [event.type for event in told][::10] == ["created", "ended"]


def test_what_never_was(store: Store, settings: Settings) -> None:
    """A version that there was not, a time before it, a session nobody knows: a clear error each."""
    session = store.create(workspace_id="w", module_name="m")
    archive_once(settings)
    with pytest.raises(VersionNotFound, match="version 2"):
        store.archive.restore(session.id, version=2)
    with pytest.raises(VersionNotFound, match="2001"):
        store.archive.restore(session.id, at=datetime(2001, 1, 1, tzinfo=UTC))
    with pytest.raises(SessionNotFound):
        store.archive.restore(_UNKNOWN, version=1)
    for wrong in (
        {"version": 0},
        {"version": True},
        {"at": datetime(2001, 1, 1)},  # noqa: DTZ001
        {"version": 1, "at": session.created_at},
    ):
        with pytest.raises(InvalidInput):
            store.restore(session.id, **wrong)


def test_a_gap_in_the_events_is_told(store: Store, settings: Settings, query: Callable[..., Any]) -> None:
    """Where an event is missing, or does not tell what was before, nothing behind it is made up."""
    session = store.create(workspace_id="w", module_name="m")
    for name in "abcd":
        store.update(session.id, module_name=name)
    archive_once(settings)
    query("UPDATE sojourn.session_events SET before = NULL WHERE version = 3 RETURNING 1")
    assert store.archive.restore(session.id, version=3).module_name == "b"
    with pytest.raises(VersionNotFound):
        store.archive.restore(session.id, version=2)
    query("DELETE FROM sojourn.session_events WHERE version = 4 RETURNING 1")
    assert store.archive.restore(session.id, version=5).module_name == "d"
    with pytest.raises(VersionNotFound):
        store.archive.restore(session.id, version=3)


def test_sliding_is_gone_back_in(settings: Settings) -> None:
    """Where writes move the deadline, an earlier version has the earlier deadline."""
    with SessionStore(settings=settings.model_copy(update={"sliding": True})) as store:
        session = store.create(ttl=600)
        eventually(lambda: store.update(session.id, owner="a").expires_at != session.expires_at)
        archive_once(settings)
        assert store.archive.restore(session.id, version=1).expires_at == session.expires_at


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["live", "ended", "removed"])
def test_made_live_again(settings: Settings, kind: str, where: str, raw: redis.Redis) -> None:
    """An earlier version becomes the newest, whether Redis still has the session live, ended, or not at all."""
    keep = settings.model_copy(update={"retention": timedelta(0 if where == "removed" else 60)})
    with StoreOpener(kind, keep.redis_url) as opener, SessionStore(settings=keep, model=DocumentationSession) as store:
        states = _life(store) if where != "live" else _life(store)[:]
        session_id = states[0].id
        if where == "live":
            other = store.create(workspace_id="w", module_name="m", owner="ada", ttl=600)
            store.update(other.id, owner="eve", tags=["two"])
            session_id = other.id
        archive_once(keep)
        assert bool(raw.exists(keys_of().session(session_id))) is (where != "removed")
        ours: Any = opener(DocumentationSession, archive_url=keep.archive_url, retention=keep.retention)
        restored = ours.restore(session_id, version=1)
        assert restored.status == "pending"
        assert restored.owner == "ada"
        assert restored.ttl == timedelta(seconds=600)
        assert restored.expires_at > datetime.now(UTC) + timedelta(seconds=500)
        assert restored.ended_at is restored.end_reason is None
        last = 2 if where == "live" else len(states)
        assert restored.version == last + 1
        known = store._shared.homes["default"]  # where a login was confined just now, that has changed
        store._shared.homes["default"] = replace(known, at_s=known.at_s - 10)
        assert store.get(session_id) == restored
        assert [each.id for each in store.list(owner="ada").sessions].count(session_id) == 1
        assert store.list(owner="eve").sessions == ()
        if where != "live":
            assert [each.file_path for each in store.entries(session_id, DocumentationSession.notes)] == [
                "a.py", "b.py", "c.py",
            ]  # fmt: skip
        store.update(session_id, version=restored.version, module_name="on")
        archive_once(keep)
        assert store.archive.get(session_id).version == last + 2
        # And before the restored version lies what it was restored over.
        again = store.archive.restore(session_id, version=last)
        assert again.owner == ("eve" if where == "live" else None)
        assert store.archive.restore(session_id, version=1).owner == "ada"
        assert [event.type for event in store.archive.history(session_id)][-2:] == ["restored", "updated"]


def test_an_ended_state_is_restored_as_it_was_until_then(store: Store, settings: Settings) -> None:
    """Restoring the version at which a session ended gives its last live status; its TTL can be another."""
    states = _life(store)
    archive_once(settings)
    restored = store.restore(states[0].id, ttl=5)
    assert restored.status == "in_progress"
    assert restored.processed_files == 1
    assert restored.ttl == timedelta(seconds=5)


@pytest.mark.no_cover  # many values
def test_random_lives(store: Store, settings: Settings) -> None:
    """Of sessions with random writes, archived now and then and restored now and then, each version is told right."""
    chance = random.Random(7)
    for _ in range(5):
        states = [store.create(workspace_id="w", module_name="m")]
        session_id = states[0].id
        while len(states) < 40:
            roll = chance.random()
            if roll < 0.15:
                archive_once(settings)
                continue
            if roll < 0.3:
                archive_once(settings)
                states.append(store.restore(session_id, version=chance.randint(1, states[-1].version)))
                continue
            if roll < 0.5:
                store.increment(session_id, processed_files=chance.randint(-5, 5))
            elif roll < 0.6:
                store.append(session_id, DocumentationSession.notes, note(str(len(states))))
            else:
                values: dict[str, Any] = {
                    "owner": chance.choice([None, "a", "b"]),
                    "tags": chance.sample(["x", "y", "z"], 2),
                    "metadata": {"n": chance.random()},
                    "current_file": chance.choice([None, "é" * chance.randint(1, 50)]),
                }
                store.update(session_id, **{name: values[name] for name in chance.sample(sorted(values), 2)})
            states.append(store.get(session_id))
        archive_once(settings)
        for state in states:
            assert _content(store.archive.restore(session_id, version=state.version)) == _content(state)
