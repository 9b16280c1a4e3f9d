"""The archive run: guard, settling, logs, events, damage."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
from tests.store.archive.helpers import dirty_members, keys_of, note

from sojourn import DocumentationSession, SessionStore, Settings, Status
from sojourn.archive import GROUP, Archive, archive_once, batch, init, run
from sojourn.errors import LayoutMismatch, SessionNotFound, SettingsError
from sojourn.events import acknowledge, read_new
from sojourn.operations.expiry import claim_due, settle_many, trim_events
from sojourn.transport.blocking import Transport

Query = Callable[..., list[tuple[Any, ...]]]
Store = SessionStore[DocumentationSession]
_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}


def test_archives_each_thing_once(redis_url: str, postgres_url: str) -> None:
    """Sessions, notes and events of several tenants arrive once; a second run finds nothing to do. On every Redis."""
    init(postgres_url)
    settings = Settings(redis_url=redis_url, archive_url=postgres_url)
    with SessionStore(settings=settings, model=DocumentationSession) as first:
        stores = [first, first.for_tenant("acme"), first.for_tenant("umbrella.corp")]
        made = [(each, each.create(**_NEW)) for each in stores for _ in range(3)]
        for store, session in made:
            store.append(session.id, DocumentationSession.notes, note("a"), note("b", memory_id="ü\u2028"))
            store.increment(session.id, processed_files=2)
        report = archive_once(settings)
        assert (report.sessions, report.entries, report.events, report.settled) == (9, 18, 27, 9)
        assert (report.changed, report.damaged, report.lost, report.stale, report.busy) == (0, 0, 0, 0, 0)
        again = archive_once(settings)
        assert not any(value for name, value in again.to_json().items() if name not in ("duration_s", "complete"))
        for store, session in made:
            archive = Archive(settings).for_tenant(store.tenant)
            assert archive.get(session.id) == store.get(session.id)
            assert archive.entries(session.id, DocumentationSession.notes) == store.entries(
                session.id, DocumentationSession.notes
            )
            assert [event.type for event in archive.history(session.id)] == ["created", "updated", "updated"]


def test_idle_run_needs_no_postgres(settings: Settings) -> None:
    """With nothing to do, a run does not even connect, once this run of Redis was held against the archive."""
    archive_once(settings)
    assert archive_once(settings.model_copy(update={"archive_url": "postgresql://127.0.0.1:1/none"})).complete


def test_an_older_state_never_overwrites_a_newer_one(
    settings: Settings, store: Store, raw: redis.Redis, caplog: Any
) -> None:
    """A session older than its archived state: Redis gets the newer one, it is told, and all goes on from there."""
    session = store.create(**_NEW, owner="ada")
    key = keys_of().session(session.id)
    older = raw.dump(key) or b""
    for number in range(5):
        store.update(session.id, current_file=str(number))
    archive_once(settings)

    raw.restore(key, 0, older, replace=True)
    raw.zadd(keys_of().partition.dirty, {f"default/{session.id}": 1})
    with caplog.at_level(logging.ERROR):
        report = archive_once(settings)
    assert (report.sessions, report.stale, report.settled) == (0, 1, 0)
    assert raw.hget(keys_of().partition.counts, "stale") == "1"
    assert session.id in caplog.text
    assert Archive(settings).get(session.id).version == 6
    assert dirty_members(raw) == []

    assert store.get(session.id).current_file == "4"
    store.update(session.id, current_file="after")
    assert archive_once(settings).sessions == 1
    found = Archive(settings).get(session.id)
    assert isinstance(found, DocumentationSession)
    assert (found.version, found.current_file) == (7, "after")


def test_an_archive_restored_from_an_older_copy_catches_up(
    settings: Settings, store: Store, raw: redis.Redis, caplog: Any
) -> None:
    """What the archive has lost of what it acknowledged: all sessions of that partition are archived again."""
    sql = psycopg.connect(str(settings.archive_url), autocommit=True)
    first, second = store.create(**_NEW), store.create(**_NEW)
    archive_once(settings)
    ((_, taken, _),) = sql.execute("SELECT * FROM sojourn.partitions").fetchall()
    sql.execute("CREATE TABLE kept AS TABLE sojourn.sessions")
    store.update(first.id, owner="ada")
    third = store.create(**_NEW)
    archive_once(settings)
    sql.execute("DELETE FROM sojourn.sessions")
    sql.execute("INSERT INTO sojourn.sessions SELECT * FROM kept")
    sql.execute("UPDATE sojourn.partitions SET batches = %s", [taken])
    sql.execute("DROP TABLE kept")
    sql.close()
    assert archive_once(settings).again == 0  # nothing waits, so it did not look
    store.update(second.id, owner="eve")
    assert archive_once(settings).again == 2
    assert "archive is behind" in caplog.text
    archive_once(settings)
    assert [Archive(settings).get(each.id).owner for each in (first, second, third)] == ["ada", "eve", None]
    assert archive_once(settings).again == 0
    assert dirty_members(raw) == []


def test_the_same_state_is_settled(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """A run that was killed between commit and settling leaves this: the same state, still dirty."""
    session = store.create(**_NEW)
    archive_once(settings)
    raw.zadd(keys_of().partition.dirty, {f"default/{session.id}": 1})
    report = archive_once(settings)
    assert (report.sessions, report.settled, report.stale) == (0, 1, 0)
    assert dirty_members(raw) == []


def test_changed_while_archived_stays_dirty(
    settings: Settings, store: Store, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change between reading and settling is not lost: the session stays in line, and later in it."""
    hot, cold = store.create(**_NEW), store.create(**_NEW)
    changed: list[DocumentationSession] = []

    def change_first(partition: Any, archived: Any) -> Any:
        if not changed:
            changed.append(store.update(hot.id, current_file="late"))
        return settle_many(partition, archived)

    monkeypatch.setattr(run, "settle_many", change_first)
    report = archive_once(settings)
    monkeypatch.undo()
    assert report.changed == 1
    assert report.settled >= 1
    archive_once(settings)
    assert Archive(settings).get(hot.id) == changed[0]
    assert Archive(settings).get(cold.id).version == 1
    assert dirty_members(raw) == []


def test_hot_sessions_hold_nobody_up(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that change all the time at the head of the line do not keep those behind them from the archive."""
    hot = [store.create(**_NEW) for _ in range(3)]
    cold = [store.create(**_NEW) for _ in range(5)]

    def always_change(partition: Any, archived: Any) -> Any:
        for each in {each.session_id for each in archived} & {each.id for each in hot}:
            store.touch(each)
            store.update(each, current_file="hot")
        return settle_many(partition, archived)

    monkeypatch.setattr(run, "settle_many", always_change)
    report = archive_once(settings.model_copy(update={"archive_batch": 2}))
    assert report.complete
    assert {each.id for each in Archive(settings).list().sessions} == {each.id for each in hot + cold}
    assert report.settled == 5


def test_ended_sessions_leave_no_key(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """Ended and past its retention, an archived session goes with all that belongs to it."""
    sessions = [store.create(**_NEW, owner="ada", tags=["x"]) for _ in range(3)]
    for session, ending in zip(sessions, (store.complete, store.fail, store.delete), strict=True):
        store.append(session.id, DocumentationSession.notes, note())
        ending(session.id, reason="over")
    report = archive_once(settings)
    assert (report.sessions, report.entries, report.removed, report.settled) == (3, 3, 3, 0)
    left = {str(key).split("}:")[-1] for key in raw.scan_iter(count=1000)}
    shared = {f"sojourn:{name}" for name in ("meta", "tenants", "archive", "checked")}
    assert left <= {"events", "operations", "/batches", "default:kinds", "default:stats", *shared}
    archive = Archive(settings)
    assert {each.status for each in archive.list().sessions} == {Status.COMPLETED, Status.FAILED, Status.DELETED}
    assert archive.counts() == {"documentation": {"completed": 1, "deleted": 1, "failed": 1}}


def test_retention_is_kept(settings: Settings, raw: redis.Redis) -> None:
    """An ended session within its retention is settled, and stays readable."""
    kept = settings.model_copy(update={"retention": timedelta(hours=1)})
    with SessionStore(settings=kept, model=DocumentationSession) as store:
        session = store.complete(store.create(**_NEW).id)
        report = archive_once(kept)
        assert (report.settled, report.removed) == (1, 0)
        assert store.get(session.id) == session
    assert dirty_members(raw) == []


def test_long_logs_come_in_parts(
    settings: Settings, store: Store, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs longer than one round takes arrive whole and in order, before their session may go."""
    monkeypatch.setattr(batch, "ENTRIES_PER_ROUND", 7)
    sessions = [store.create(**_NEW) for _ in range(3)]
    for session in sessions:
        store.append(session.id, DocumentationSession.notes, *[note(str(number)) for number in range(10)])
    store.complete(sessions[0].id)
    report = archive_once(settings)
    assert (report.entries, report.settled, report.removed, report.changed) == (30, 2, 1, 0)
    archive = Archive(settings)
    for session in sessions:
        found = archive.entries(session.id, DocumentationSession.notes)
        assert [each.file_path for each in found] == [str(number) for number in range(10)]
    # Only what is new is read the next time.
    store.append(sessions[1].id, DocumentationSession.notes, note("10"))
    assert archive_once(settings).entries == 1
    assert raw.hget(keys_of().session(sessions[1].id), "_archived:notes") == "11"
    assert "_archived:notes" not in str(archive.get(sessions[1].id))


def test_entries_after_a_restore_are_not_lost(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """Redis went back and on: entries acknowledged since then replace those of the time that never was."""
    session = store.create(**_NEW)
    keys = [keys_of().session(session.id), keys_of().log(session.id, "notes")]
    store.append(session.id, DocumentationSession.notes, note("0"))
    archive_once(settings)
    copies = [raw.dump(key) or b"" for key in keys]
    store.append(session.id, DocumentationSession.notes, note("lost"))
    archive_once(settings)
    for key, copy in zip(keys, copies, strict=True):
        raw.restore(key, 0, copy, replace=True)
    store.append(session.id, DocumentationSession.notes, note("1"))
    archive_once(settings)
    assert [each.file_path for each in Archive(settings).entries(session.id, DocumentationSession.notes)] == ["0", "1"]


def test_damage_holds_nobody_up(settings: Settings, store: Store, raw: redis.Redis, caplog: Any, query: Query) -> None:
    """Records damaged in every way are told without their values, stay in Redis, and the others go on."""
    damages: list[Callable[[str], Any]] = [
        lambda key: raw.hdel(key, "status"),
        lambda key: raw.hdel(key, "version"),
        lambda key: raw.hset(key, "updated_at_ms", "s3cret"),
        lambda key: raw.hset(key, "created_at_ms", "9" * 17),
        lambda key: raw.hset(key, "version", "9" * 30),
        lambda key: raw.hset(key, "id", "s3cret"),
        lambda key: raw.hset(key, "tenant", "s3cret"),
        lambda key: raw.hset(key, "owner", b"s3cret\xff"),
        lambda key: raw.hset(key, "owner", "s3cret\x00"),
        lambda key: raw.hset(key, b"s3\n\xff", "x"),
        lambda key: raw.hset(key, "owner", "".join(chr(0x4E00 + i * 7 % 20000) for i in range(5000))),  # not indexable
        lambda key: (raw.delete(key), raw.set(key, "s3cret")),
    ]
    sessions = [store.create(**_NEW) for _ in range(3 * len(damages))]
    broken = [each.id for each in sessions[1::3]]
    for session_id, damage in zip(broken, damages, strict=True):
        damage(keys_of().session(session_id))
    raw.zadd(keys_of().partition.dirty, {b"nonsense": 1, b"\xff\xfe": 2})
    with caplog.at_level(logging.INFO):
        report = archive_once(settings)
    assert (report.sessions, report.settled, report.damaged) == (2 * len(damages), 2 * len(damages), len(damages) + 2)
    assert "s3cret" not in caplog.text
    assert all(each in caplog.text for each in broken)
    # They wait, further back; the next run does not tell of them again.
    assert set(dirty_members(raw)) == {f"default/{each}" for each in broken}
    caplog.clear()
    assert archive_once(settings).damaged == 0
    assert caplog.text == ""
    # Repaired by hand, and due again: archived.
    raw.hset(keys_of().session(broken[0]), "status", "pending")
    raw.zadd(keys_of().partition.dirty, {f"default/{broken[0]}": 1})
    assert archive_once(settings).sessions == 1
    assert query("SELECT count(*) FROM sojourn.sessions") == [(2 * len(damages) + 1,)]


def test_a_damaged_log_keeps_its_session(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """What can be archived of a session with a damaged log is; but it is not settled, and so not removed."""
    first, second, third = (store.create(**_NEW) for _ in range(3))
    for session in (first, second, third):
        store.append(session.id, DocumentationSession.notes, note("0"), note("1"), note("2"))
    raw.lset(keys_of().log(first.id, "notes"), 1, b"\xff")  # type: ignore[arg-type]
    raw.delete(keys_of().log(second.id, "notes"))
    raw.set(keys_of().log(second.id, "notes"), "not a list")
    for session in (first, second, third):
        store.complete(session.id)
    report = archive_once(settings)
    assert (report.sessions, report.entries, report.removed, report.damaged) == (3, 4, 1, 2)
    assert set(dirty_members(raw)) == {f"default/{first.id}", f"default/{second.id}"}
    raw.lset(keys_of().log(first.id, "notes"), 1, note("repaired").model_dump_json())
    raw.zadd(keys_of().partition.dirty, {f"default/{first.id}": 1})
    report = archive_once(settings)
    assert (report.sessions, report.entries, report.removed) == (0, 2, 1)
    found = Archive(settings).entries(first.id, DocumentationSession.notes)
    assert [each.file_path for each in found] == ["0", "repaired", "2"]


def test_lost_sessions_are_told(settings: Settings, store: Store, raw: redis.Redis, caplog: Any) -> None:
    """A record that went before its end was archived is counted; one that went after it is not."""
    evicted, archived = store.create(**_NEW), store.create(**_NEW)
    store.complete(archived.id)
    archive_once(settings)
    store.touch(evicted.id)
    raw.delete(keys_of().session(evicted.id))
    raw.zadd(keys_of().partition.dirty, {f"default/{archived.id}": 1})
    report = archive_once(settings)
    assert (report.lost, report.settled, report.removed) == (1, 0, 0)
    assert evicted.id in caplog.text
    assert archived.id not in caplog.text
    assert dirty_members(raw) == []
    assert Archive(settings).get(evicted.id).version == 1


def test_events_left_by_a_dead_run_are_taken(settings: Settings, store: Store, query: Query, raw: redis.Redis) -> None:
    """Events that an earlier run took and never acknowledged are archived by the next, without a wait."""
    session = store.create(**_NEW)
    archive_once(settings)
    store.update(session.id, current_file="a")
    transport = Transport(settings)
    taken = read_new([keys_of().partition], GROUP, "archive", 10, 0.01)
    assert len(taken.parse(transport.execute([taken])[0])) == 1
    transport.close()
    assert archive_once(settings).events == 1
    assert query("SELECT type FROM sojourn.session_events ORDER BY id") == [("created",), ("updated",)]
    stream = keys_of().partition.events
    assert raw.xpending(stream, GROUP)["pending"] == 0
    assert len(raw.xinfo_consumers(stream, GROUP)) == 1


def test_events_survive_trimming(settings: Settings, store: Store, query: Query, raw: redis.Redis) -> None:
    """The group is there before the first event, so another group's progress trims nothing that is not archived."""
    archive_once(settings)
    partition = keys_of().partition
    raw.xgroup_create(partition.events, "other", "0")
    store.create_many([_NEW] * 30)
    transport = Transport(settings)
    read = read_new([partition], "other", "c", 100, 0.01)
    done = acknowledge(read.parse(transport.execute([read])[0]), "other")
    transport.execute([done, trim_events(partition, 1)])
    assert archive_once(settings).events == 30
    transport.execute([trim_events(partition, 1)])
    transport.close()
    assert raw.xlen(partition.events) <= 1
    assert query("SELECT count(*) FROM sojourn.session_events") == [(30,)]


def test_damaged_events_are_left_out(
    settings: Settings, store: Store, raw: redis.Redis, query: Query, caplog: Any
) -> None:
    """Events that other hands wrote do not hold up the others."""
    session = store.create(**_NEW)
    stream = keys_of().partition.events
    whole: dict[Any, Any] = {
        "type": "updated",
        "tenant": "default",
        "id": session.id,
        "kind": "k",
        "version": "1",
        "at_ms": "1",
    }
    damages: list[dict[Any, Any]] = [
        {"id": "no uuid"},
        {"actor": "s3cret\x00"},
        {"trace": b"\xff"},
        {"changes": '{"a":"\\ud800"}'},
    ]
    for damage in damages:
        raw.xadd(stream, {**whole, **damage})
    raw.xadd(stream, {"what": "ever"})
    raw.xadd(stream, {**whole, "at_ms": "9" * 15, "version": "x", "changes": "[1"})
    report = archive_once(settings)
    assert (report.events, report.damaged) == (2, 5)
    assert "s3cret" not in caplog.text
    assert query("SELECT count(*) FROM sojourn.session_events") == [(2,)]
    assert raw.xpending(stream, GROUP)["pending"] == 0


def test_pending_events_that_were_trimmed(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """An event taken by a dead run and then deleted from the stream is acknowledged, and counted."""
    archive_once(settings)
    store.create(**_NEW)
    stream = keys_of().partition.events
    raw.xreadgroup(GROUP, "archive", {stream: ">"})
    raw.xtrim(stream, maxlen=0, approximate=False)
    report = archive_once(settings)
    assert (report.sessions, report.events, report.damaged) == (1, 0, 1)
    assert raw.xpending(stream, GROUP)["pending"] == 0


def test_time_runs_out(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """A run that has no more time leaves the rest to the next."""
    store.create_many([_NEW] * 20)
    report = archive_once(settings.model_copy(update={"archive_batch": 5}), max_seconds=0)
    assert not report.complete
    assert len(dirty_members(raw)) == 20 - report.settled
    assert archive_once(settings).complete
    assert dirty_members(raw) == []


def test_out_of_memory_does_not_stop_it(
    settings: Settings, store: Store, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full Redis is relieved: what ended is archived and removed, even where something else cannot be settled."""
    monkeypatch.setattr(batch, "ENTRIES_PER_ROUND", 8)
    archive_once(settings)  # joins the groups while there is memory
    live, broken, *ended = store.create_many([_NEW] * 7)
    store.append(live.id, DocumentationSession.notes, *[note()] * 10)  # takes two rounds, with a note to Redis between
    raw.hdel(keys_of().session(broken.id), "status")
    for session in ended:
        store.append(session.id, DocumentationSession.notes, note())
        store.complete(session.id)
    raw.config_set("maxmemory", 1)
    try:
        report = archive_once(settings, max_seconds=5)
    finally:
        raw.config_set("maxmemory", 0)
    assert report.complete
    assert (report.removed, report.damaged) == (5, 1)
    assert Archive(settings).get(live.id).version == 2
    assert set(dirty_members(raw)) == {f"default/{live.id}", f"default/{broken.id}"}
    assert archive_once(settings).settled == 1
    assert len(Archive(settings).entries(live.id, DocumentationSession.notes)) == 10


def test_entries_that_postgres_refuses(settings: Settings, store: Store) -> None:
    """One entry that PostgreSQL will not have at any price leaves the others their place."""
    session, other = store.create_many([_NEW] * 2)
    store.append(session.id, DocumentationSession.notes, note("0"), note("bad"), note("2"))
    store.append(other.id, DocumentationSession.notes, note("0"), note("1"))
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute(
            "ALTER TABLE sojourn.session_entries ADD CONSTRAINT taste CHECK (entry->>'file_path' <> 'bad')"
        )
    report = archive_once(settings)
    assert (report.sessions, report.settled, report.damaged) == (2, 1, 1)
    assert len(Archive(settings).entries(other.id, DocumentationSession.notes)) == 2
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute("ALTER TABLE sojourn.session_entries DROP CONSTRAINT taste")
    store.touch(session.id)
    assert archive_once(settings).settled == 0  # its turn comes in a minute
    with redis.Redis.from_url(settings.redis_url) as client:
        client.zadd(keys_of().partition.dirty, {f"default/{session.id}": 1})
    assert archive_once(settings).settled == 1
    found = Archive(settings).entries(session.id, DocumentationSession.notes)
    assert [each.file_path for each in found] == ["0", "bad", "2"]


def test_refuses_other_settings(settings: Settings, store: Store) -> None:
    """A worker with another number of partitions archives nothing; neither does one without an archive."""
    store.create(**_NEW)
    with pytest.raises(LayoutMismatch):
        archive_once(settings.model_copy(update={"partitions": 8}))
    with pytest.raises(SettingsError, match="archive_url is not set"):
        archive_once(settings.model_copy(update={"archive_url": None}))


def test_expired_sessions_are_archived_as_such(settings: Settings, raw: redis.Redis) -> None:
    """A claim makes a session dirty like any other change."""
    with SessionStore(settings=settings, model=DocumentationSession) as store:
        session = store.create(**_NEW, ttl=0.001)
        context = settings.context(settings.load_models())
        transport = Transport(settings)
        claim = claim_due(context, keys_of().partition, 10, archived=True)
        while claim.parse(transport.execute([claim])[0]).expired == 0:
            continue
        transport.close()
        assert archive_once(settings).sessions == 1
        found = Archive(settings).get(session.id)
        assert (found.status, found.end_reason) == (Status.EXPIRED, "deadline")
        assert found.ended_at == found.expires_at
        with pytest.raises(SessionNotFound):
            store.get(session.id)


def test_collections_go_on_behind_runs_that_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that found them off, as another one's batch was under way, does not turn them off once that has ended."""
    monkeypatch.setattr(gc, "isenabled", lambda: False)
    with run._without_collections():
        pass
    monkeypatch.undo()
    assert gc.isenabled()
    with run._without_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
