"""An empty, or older, Redis is filled from the archive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from tests.census import strays
from tests.store.archive.helpers import keys_of, note
from tests.waiting import eventually

from sojourn import DocumentationSession, Session, SessionNotFound, SessionStore, Settings
from sojourn.archive import archive_once, rehydrate
from sojourn.errors import InvalidId, SettingsError, StoreFull
from sojourn.keys import REHYDRATING

Store = SessionStore[DocumentationSession]


def test_an_empty_redis_is_filled(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Live sessions come back as they were, logs, indexes and deadlines included; ended ones stay in the archive."""
    plain = store.create(workspace_id="w", module_name="m", owner="ada", tags=["x"], ttl=600)
    endless = store.create(workspace_id="w", module_name="m", ttl=None)
    noted = store.create(workspace_id="w", module_name="m", ttl=600)
    for start in range(0, 1200, 400):
        store.append(noted.id, DocumentationSession.notes, *[note(str(n)) for n in range(start, start + 400)])
    ended = store.create(workspace_id="w", module_name="m")
    store.complete(ended.id)
    with SessionStore(settings=settings, tenant="acme") as other:
        theirs = other.create(ttl=600)
        archive_once(settings)
        before = [store.get(plain.id), store.get(endless.id), store.get(noted.id), other.get(theirs.id)]
        ttl_ms = raw.pttl(keys_of().session(plain.id))
        raw.flushall()
        told: list[tuple[int, int]] = []
        report = rehydrate(settings, progress=lambda done, total: told.append((done, total)))
        assert (report.loaded, report.resumed, told[-1]) == (4, False, (4, 4))
        assert [store.get(plain.id), store.get(endless.id), store.get(noted.id), other.get(theirs.id)] == before
    assert [each.file_path for each in store.entries(noted.id, DocumentationSession.notes)] == list(
        map(str, range(1200))
    )
    assert 0 < ttl_ms - raw.pttl(keys_of().session(plain.id)) < 60_000
    assert raw.ttl(keys_of().session(endless.id)) == -1
    assert raw.ttl(keys_of().log(noted.id, "notes")) > 0
    assert [each.id for each in store.list(owner="ada", tag="x").sessions] == [plain.id]
    with pytest.raises(SessionNotFound):
        store.get(ended.id)
    assert strays(settings.redis_url) == []
    assert list(raw.scan_iter("*staged*")) == []
    # It goes on as ever: nothing is archived twice, and what is appended next has the next position.
    assert archive_once(settings).entries == 0
    store.append(noted.id, DocumentationSession.notes, note("last"))
    archive_once(settings)
    assert len(store.archive.entries(noted.id, DocumentationSession.notes)) == 1201
    again = rehydrate(settings)
    assert (again.loaded, again.same) == (0, 4)


def test_newer_stays_and_older_is_replaced(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """What Redis holds newer than the archive stays; what it holds older gives way; what ended since goes."""
    newer, older, ended = (store.create(workspace_id="w", module_name="m", owner="ada") for _ in range(3))
    binary = redis.Redis.from_url(settings.redis_url)
    copies = {each.id: binary.dump(keys_of().session(each.id)) or b"" for each in (older, ended)}
    store.update(older.id, owner="eve")
    store.append(older.id, DocumentationSession.notes, note("a"))
    archive_once(settings)
    store.complete(ended.id)
    archive_once(settings)
    store.update(newer.id, owner="new")
    for session_id, copy in copies.items():
        binary.restore(keys_of().session(session_id), 600_000, copy, replace=True)
        raw.zadd(keys_of().index("owner", "ada"), {session_id: 1})
    binary.close()
    report = rehydrate(settings, ids=[newer.id, older.id, ended.id])
    assert (report.newer, report.replaced, report.removed) == (1, 1, 1)
    assert store.get(newer.id).owner == "new"
    assert store.get(older.id).owner == "eve"
    assert len(store.entries(older.id, DocumentationSession.notes)) == 1
    assert not raw.exists(keys_of().session(ended.id))
    assert [each.id for each in store.list(owner="ada").sessions] == []
    assert strays(settings.redis_url) == []


def test_an_overdue_session_comes_back_to_be_claimed(settings: Settings, raw: redis.Redis) -> None:
    """Its deadline passed while Redis was away: nobody sees it live, and the next write claims it."""
    with SessionStore(settings=settings) as store:
        session = store.create(ttl=0.3)
        archive_once(settings)
        raw.flushall()
        assert rehydrate(settings, ids=[session.id]).loaded == 1
        assert raw.zscore(keys_of().partition.deadlines, keys_of().member(session.id)) is not None
        eventually(lambda: raw.pttl(keys_of().lease(session.id)) < 0)
        with pytest.raises(SessionNotFound):
            store.get(session.id)
        assert raw.ttl(keys_of().session(session.id)) > 3600
        store.create()
        archive_once(settings)
        assert store.archive.get(session.id).status == "expired"


def test_a_lost_hash_is_told_and_brought_back(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """A hash deleted by hand: told as lost and counted once; the archive brings the session back, with its log."""
    session = store.create(workspace_id="w", module_name="m", owner="ada", ttl=600)
    store.append(session.id, DocumentationSession.notes, note("a"))
    archive_once(settings)
    before = store.get(session.id)
    raw.delete(keys_of().session(session.id))
    raw.zadd(keys_of().partition.dirty, {keys_of().member(session.id): 1})
    archive_once(settings)
    assert raw.hget(keys_of().partition.counts, "lost") == "1"
    assert [event.type for event in store.peek_events(limit=1).events] == ["lost"]
    assert rehydrate(settings, ids=[session.id]).loaded == 1
    assert store.get(session.id) == before
    assert len(store.entries(session.id, DocumentationSession.notes)) == 1
    assert strays(settings.redis_url) == []


def test_killed_it_goes_on_where_it_was(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """SIGKILL in the midst: the next call counts on, and does not read again what is done."""
    ids = [each.id for each in store.create_many([{"workspace_id": "w", "module_name": "m"}] * 1000)]
    archive_once(settings)
    raw.flushall()
    code = (
        "from sojourn import load_settings; from sojourn.archive import rehydrate\n"
        "rehydrate(load_settings(), progress=lambda done, total: done >= 400 and print('so far', flush=True) or "
        "(done >= 400 and __import__('signal').pause()))"
    )
    environment = os.environ | {
        "SOJOURN_REDIS_URL": settings.redis_url, "SOJOURN_ARCHIVE_URL": str(settings.archive_url),
    }  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"so far\n"
        process.send_signal(signal.SIGKILL)
    report = rehydrate(settings)
    assert (report.resumed, report.loaded, report.same) == (True, 1000, 400)  # the first part is looked at again
    assert len([each for each in store.get_many(ids) if each]) == 1000
    assert not raw.exists(REHYDRATING)


def test_only_what_was_asked_for(settings: Settings, raw: redis.Redis) -> None:
    """A tenant alone, ids alone; unknown and malformed ids; no archive."""
    with SessionStore(settings=settings) as store, SessionStore(settings=settings, tenant="acme") as other:
        ours, theirs = store.create(), other.create()
        archive_once(settings)
        raw.flushall()
        assert rehydrate(settings, tenant="acme").loaded == 1
        assert other.get(theirs.id).id == theirs.id
        assert rehydrate(settings, ids=[theirs.id]).missing == 1  # it is not this tenant's
        assert rehydrate(settings, ids=[ours.id]).loaded == 1
        with pytest.raises(InvalidId):
            rehydrate(settings, ids=["x"])
        with pytest.raises(SettingsError):
            rehydrate(settings.model_copy(update={"archive_url": None}))


def test_a_full_redis_is_told(settings: Settings, raw: redis.Redis) -> None:
    """Out of memory: StoreFull, nothing half-way, and it goes on when there is room."""
    with SessionStore(settings=settings) as store:
        ids = [each.id for each in store.create_many([{"metadata": {"x": "y" * 1000}}] * 300)]
        archive_once(settings)
        raw.flushall()
        raw.config_set("maxmemory", 1)
        with pytest.raises(StoreFull):
            rehydrate(settings)
        assert list(raw.scan_iter("*session:*")) == []
        raw.config_set("maxmemory", 0)
        assert rehydrate(settings).loaded == 300
        assert None not in store.get_many(ids)


def test_an_older_copy_is_brought_up(
    own_redis: Any, settings: Settings, query: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Redis is restored from an older copy: the next archive run notices, and the newer of each two states wins."""
    server = own_redis({"appendonly": "no", "save": ""})
    own = settings.model_copy(update={"redis_url": server.url, "retention": timedelta(seconds=60)})
    with redis.Redis.from_url(server.url) as client, SessionStore(settings=own) as store:
        changed, ended, idle, forked = (store.create(owner="ada", ttl=3600) for _ in range(4))
        archive_once(own)
        copy = {key: (client.dump(key), client.pttl(key)) for key in client.scan_iter()}
        for n in range(10):
            store.update(changed.id, metadata={"n": n})
            store.update(forked.id, metadata={"n": n})
        store.complete(ended.id)
        archive_once(own)
        newest = store.get(changed.id)
        client.flushall()
        for key, (value, ttl) in copy.items():
            client.restore(key, max(0, ttl), value)
        client.set("sojourn:checked", "another run")  # as in the copy of an earlier run
        assert store.get(changed.id).version == 1
        store.update(forked.id, owner="eve")
        report = archive_once(own)
        assert report.restored == 2
        assert store.get(changed.id) == newest
        assert store.get(idle.id).version == 1
        with pytest.raises(SessionNotFound):
            store.get(ended.id)
        assert store.get(forked.id).version == 2
        assert store.archive.get(forked.id).owner == "eve"
        assert store.archive.restore(forked.id, version=2).owner == "eve"
        assert store.archive.restore(forked.id, version=11).metadata == {"n": 9}
        assert store.archive.restore(forked.id, version=5).metadata == {"n": 3}
        assert int(client.hget(keys_of().partition.counts, "restored") or 0) == 1
        assert "restored from an older copy" in caplog.text
        assert archive_once(own).restored == 0
        assert strays(server.url) == []
        assert query("SELECT count(*) FROM sojourn.session_snapshots") == [(1,)]


def test_state_of_a_model_nobody_knows(settings: Settings, raw: redis.Redis) -> None:
    """Sessions of kinds that are not in the settings are put back to the letter, too."""

    class Odd(Session):
        kind_name = "odd"
        shape: str = "round"

    with SessionStore(settings=settings, model=Odd) as store:
        session = store.create(shape="square")
        archive_once(settings)
        raw.flushall()
        assert rehydrate(settings).loaded == 1
        assert store.get(session.id) == session


def test_what_comes_back_is_live_and_not_created(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Neither filling Redis nor a restore counts as a creation or an end; what is live has its client type."""
    made = [store.create(workspace_id="w", module_name="m", client_type="web", ttl=600) for _ in range(3)]
    store.complete(made[0].id)
    archive_once(settings)
    raw.flushall()
    rehydrate(settings)
    rehydrate(settings)
    found = store.metrics()
    assert (found.active_sessions, found.created_sessions, found.ended_sessions) == (2, 0, {})
    assert [(each.client_type, each.active) for each in found.labels] == [("web", 2)]
    store.complete(made[1].id)
    store.restore(made[1].id)
    store.restore(made[0].id)
    found = store.metrics()
    assert [(each.client_type, each.active, each.ended) for each in found.labels] == [("web", 3, {"completed": 1})]
