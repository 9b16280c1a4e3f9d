"""Redis, or the archive, comes back as an older copy: the two agree again, whatever goes on meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
from tests.census import strays
from tests.store.archive.helpers import dirty_members, keys_of, note

from sojourn import DocumentationSession, SessionStore, Settings
from sojourn.archive import archive_again, archive_once, rehydrate, run, sink
from sojourn.errors import StoreUnavailable
from sojourn.keys import CHECKED

Store = SessionStore[DocumentationSession]
_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}


class Copy:
    """What a Redis holds, to be put back into it later, as when a server is started again on an older file."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._keys = {key: (client.dump(key), max(0, self._client.pttl(key))) for key in client.scan_iter()}

    def restore(self) -> None:
        """Put it back, into another run of the server."""
        self._client.flushall()
        for key, (value, ttl_ms) in self._keys.items():
            self._client.restore(key, ttl_ms, value)
        self._client.set(CHECKED, "another run")


@pytest.fixture
def client(settings: Settings) -> Any:
    """Give a client that reads bytes."""
    with redis.Redis.from_url(settings.redis_url) as made:
        yield made


def test_logs_are_archived_again_from_their_beginning(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """An archive that lost its tables gets whole logs, by request or by itself, before their sessions go."""
    for by_request in (True, False):
        session = store.create(**_NEW)
        store.append(session.id, DocumentationSession.notes, note("a"), note("b"))
        archive_once(settings)
        with psycopg.connect(str(settings.archive_url), autocommit=True) as sql:
            sql.execute("TRUNCATE sojourn.sessions, sojourn.session_entries, sojourn.partitions")
        if by_request:
            assert archive_again(settings) == 1
        store.append(session.id, DocumentationSession.notes, note("c"))
        while dirty_members(raw):
            archive_once(settings)
        assert len(store.archive.entries(session.id, DocumentationSession.notes)) == 3
        store.complete(session.id)
        archive_once(settings)
        assert len(store.archive.entries(session.id, DocumentationSession.notes)) == 3


def test_a_single_row_that_is_gone_comes_back_with_its_log(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """One session's rows were removed from the archive: its next change brings all of its log, not only what is new."""
    session = store.create(**_NEW)
    store.append(session.id, DocumentationSession.notes, note("a"))
    archive_once(settings)
    with psycopg.connect(str(settings.archive_url), autocommit=True) as sql:
        sql.execute("DELETE FROM sojourn.sessions")
        sql.execute("DELETE FROM sojourn.session_entries")
    store.append(session.id, DocumentationSession.notes, note("b"))
    while dirty_members(raw):
        archive_once(settings)
    assert len(store.archive.entries(session.id, DocumentationSession.notes)) == 2


def test_a_log_that_is_not_what_it_was_is_told(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Its list was deleted by hand, and appended to since: told as damaged, and kept in Redis."""
    session = store.create(**_NEW)
    store.append(session.id, DocumentationSession.notes, note("a"), note("b"))
    archive_once(settings)
    raw.delete(keys_of().log(session.id, "notes"))
    store.append(session.id, DocumentationSession.notes, note("c"))
    store.complete(session.id)
    assert archive_once(settings).damaged == 1
    assert raw.exists(keys_of().session(session.id))


@pytest.mark.parametrize("what", ["touches", "another tenant", "an update"])
def test_each_sort_of_change_shows(settings: Settings, client: Any, what: str) -> None:
    """Touches alone, which have no events; a partition that was not there yet; an update: Redis is found behind."""
    with SessionStore(settings=settings) as store, SessionStore(settings=settings, tenant="acme") as other:
        session = store.create(ttl=600)
        archive_once(settings)
        copy = Copy(client)
        owner, changed = store, session
        if what == "touches":
            store.touch(session.id)
        elif what == "an update":
            store.update(session.id, owner="ada")
        else:
            owner, changed = other, other.create(ttl=600)
        archive_once(settings)
        newest = owner.get(changed.id)
        copy.restore()
        assert archive_once(settings).restored == 1
        assert owner.get(changed.id) == newest
        assert archive_once(settings).restored == 0
    assert strays(settings.redis_url) == []


def test_a_run_in_the_midst_of_it_hides_nothing(
    settings: Settings, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis becomes an older copy while a run is at work: that run ends, and the next one brings it up."""
    with SessionStore(settings=settings) as store:
        session = store.create(ttl=600)
        archive_once(settings)
        copy = Copy(client)
        newest = store.update(session.id, owner="ada")
        archive_once(settings)
        store.create()
        note_batch = sink.note_batch

        def restored(*args: Any) -> Any:
            copy.restore()
            store.create()
            return note_batch(*args)

        monkeypatch.setattr(run, "note_batch", restored)
        monkeypatch.setattr(run, "current_run", _another_run)
        with pytest.raises(StoreUnavailable, match="started anew"):
            archive_once(settings)
        monkeypatch.undo()
        assert archive_once(settings).restored >= 1
        assert store.get(session.id) == newest


def _another_run() -> Any:
    from sojourn.archive.agree import Run
    from sojourn.operations.core import Operation

    return Operation((("PING",),), lambda _: Run("0" * 40, is_checked=True))


def test_events_in_hand_hide_no_older_archive(settings: Settings, client: Any) -> None:
    """A run died with events in hand, and the archive came back as an older copy: all is archived again."""
    with SessionStore(settings=settings) as store:
        first = store.create()
        archive_once(settings)
        with psycopg.connect(str(settings.archive_url), autocommit=True) as sql:
            ((before,),) = sql.execute("SELECT batches FROM sojourn.partitions").fetchall()
            store.update(first.id, owner="ada")
            archive_once(settings)
            store.create()
            client.xreadgroup("sojourn-archive", "archive", {keys_of().partition.events: ">"})
            sql.execute("UPDATE sojourn.partitions SET batches = %s", [before])
            sql.execute("DELETE FROM sojourn.sessions WHERE id = %s", [first.id])
        assert archive_once(settings).again == 1
        archive_once(settings)
        assert store.archive.get(first.id).owner == "ada"


def test_a_full_redis_is_emptied_first(settings: Settings, client: Any) -> None:
    """Restored, behind, and full: archiving goes on, makes room, and Redis is brought up after that."""
    with SessionStore(settings=settings) as store:
        kept = store.create(ttl=600)
        made = store.create_many([{"metadata": {"x": "y" * 500}}] * 50)
        for each in made:
            store.complete(each.id)
        copy = Copy(client)
        with SessionStore(settings=settings) as same:
            archive_once(settings)
            newest = same.update(kept.id, owner="ada")
            archive_once(settings)
        copy.restore()
        client.config_set("maxmemory", 1)
        for _ in range(2):
            archive_once(settings)
        assert not [each for each in made if client.exists(keys_of().session(each.id))]
        client.config_set("maxmemory", 0)
        archive_once(settings)
        assert store.get(kept.id) == newest


def test_what_ends_while_it_comes_back_stays_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as live, then ended, archived and removed, then put back: it is not."""
    from sojourn.archive.loader import Loader

    with SessionStore(settings=settings) as store:
        session = store.create()
        archive_once(settings)
        load = Loader._load
        ended: list[bool] = []

        def late(self: Any, rows: Any) -> Any:
            if not ended:
                ended.append(True)
                store.complete(session.id)
                assert archive_once(settings).removed == 1
            return load(self, rows)

        monkeypatch.setattr(Loader, "_load", late)
        report = rehydrate(settings, ids=[session.id])
        assert (report.loaded, report.ended) == (0, 1)
        assert store.get_many([session.id]) == [None]


def test_nothing_is_half_restored(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """A log key of another type: neither rehydrate nor restore writes anything."""
    session = store.create(**_NEW, ttl=100)
    store.append(session.id, DocumentationSession.notes, note())
    archive_once(settings)
    key = keys_of().session(session.id)
    raw.delete(key, keys_of().log(session.id, "notes"))
    raw.set(keys_of().log(session.id, "notes"), "not a list")
    assert rehydrate(settings).damaged == 1
    with pytest.raises(Exception, match="damaged"):
        store.restore(session.id)
    assert not raw.exists(key)


@pytest.mark.parametrize("field", ["expires_at_ms", "tenant", "status", "version"])
def test_rows_that_nobody_wrote_stop_nothing(store: Store, settings: Settings, raw: redis.Redis, field: str) -> None:
    """A row that a run cannot have written is counted as damaged; the others come back."""
    bad, good = store.create(**_NEW, ttl=600), store.create(**_NEW, ttl=600)
    archive_once(settings)
    with psycopg.connect(str(settings.archive_url), autocommit=True) as sql:
        sql.execute(
            "UPDATE sojourn.sessions SET data = data || jsonb_build_object(%s::text, '-5') WHERE id = %s",
            [field, bad.id],
        )
        sql.execute("INSERT INTO sojourn.sessions SELECT (jsonb_populate_record(s, '{\"tenant\": \"a:b\"}')).* "
                    "FROM sojourn.sessions AS s WHERE id = %s", [good.id])  # fmt: skip
    raw.flushall()
    report = rehydrate(settings)
    assert (report.loaded, report.damaged) == (1, 2)
    assert store.get(good.id) == good
    assert not raw.exists(keys_of().session(bad.id))


def test_a_lifetime_begins_anew(settings: Settings) -> None:
    """A session whose max_lifetime is long over is restored, and may be kept alive for as long again."""
    short = settings.model_copy(update={"retention": timedelta(0)})
    with SessionStore(settings=short) as store:
        session = store.create(ttl=0.2, max_lifetime=0.3)
        store.complete(session.id)
        archive_once(short)
        restored = store.restore(session.id, ttl=60, max_lifetime=120)
        assert restored.expires_at is not None
        longer = store.set_ttl(session.id, 100)
        assert longer.expires_at is not None
        assert (longer.expires_at - restored.expires_at).total_seconds() > 30
        archive_once(short)
        assert store.archive.restore(session.id, version=1).ttl == session.ttl
        assert store.archive.restore(session.id, version=1).max_lifetime == session.max_lifetime
