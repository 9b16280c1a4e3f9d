"""A bounded log: Redis keeps its newest entries, the archive all."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

import psycopg
import pytest
import redis
from tests.census import strays
from tests.store.archive.conftest import Starter
from tests.store.archive.helpers import dirty_members, keys_of
from tests.store.mcp_writers import record_each
from tests.waiting import eventually

from sojourn import DocumentationSession, Limits, Log, McpSession, Session, SessionStore, Settings
from sojourn.archive import Archive, archive_again, archive_once, init, rehydrate

Query = Callable[..., list[tuple[Any, ...]]]
KEEP = 10


class FeedSession(Session):
    """Has a small bounded log."""

    feed: ClassVar[Log[int]] = Log(int, keep=KEEP)


Store = SessionStore[FeedSession]


@pytest.fixture
def settings(any_redis_url: str, postgres_url: str) -> Settings:
    """Give settings under which a log holds at most 50 entries."""
    init(postgres_url)
    return Settings(redis_url=any_redis_url, archive_url=postgres_url, limits=Limits(log_entries=50))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Give a store of sessions with a small bounded log."""
    with SessionStore(settings=settings, model=FeedSession) as made:
        yield made


def held(raw: redis.Redis, session_id: str) -> tuple[int, int, int]:
    """Return the first position, the length and the dropped entries of the log, as Redis has them."""
    first, dropped = raw.hmget(keys_of().session(session_id), "_first:feed", "_dropped:feed")
    return int(first or 0), int(raw.llen(keys_of().log(session_id, "feed"))), int(dropped or 0)


def archived(settings: Settings, session_id: str) -> list[int]:
    """Return the entries in the archive."""
    return Archive(settings).entries(session_id, FeedSession.feed)


def append(store: Store, session_id: str, first: int, end: int) -> None:
    """Append numbers; the log's length is as if nothing had gone."""
    assert store.append(session_id, FeedSession.feed, *range(first, end)) == end


def test_what_is_archived_goes(store: Store, settings: Settings, raw: redis.Redis, query: Query) -> None:
    """Nothing goes before the archive has it; then all but the newest do, at once and with each append that follows."""
    made = store.create()
    append(store, made.id, 0, 40)
    assert held(raw, made.id) == (0, 40, 0)
    archive_once(settings)
    assert held(raw, made.id) == (30, KEEP, 0)
    append(store, made.id, 40, 43)
    assert held(raw, made.id) == (33, KEEP, 0)  # of the newest ten, three wait for the archive
    append(store, made.id, 43, 60)
    assert held(raw, made.id) == (40, 20, 0)  # those that wait stay
    assert store.entries(made.id, FeedSession.feed, start=38, count=4) == [40, 41]
    assert store.entries(made.id, FeedSession.feed, count=10) == []
    assert store.entries(made.id, FeedSession.feed) == list(range(40, 60))
    archive_once(settings)
    assert held(raw, made.id) == (50, KEEP, 0)
    assert archived(settings, made.id) == list(range(60))
    local = "SELECT data ? '_first:feed' OR data ? '_archived:feed', data ? '_keep:feed' FROM sojourn.sessions"
    assert query(local) == [(False, True)]
    assert Archive(settings).entries(made.id, FeedSession.feed, start=5, count=2) == [5, 6]
    assert strays(settings.redis_url) == []


def test_hard_bound_without_the_archive(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """With no archive run the oldest go at the bound, and are counted; what is left is archived where it belongs."""
    made = store.create()
    append(store, made.id, 0, 10)
    archive_once(settings)
    append(store, made.id, 10, 100)
    assert held(raw, made.id) == (50, 50, 40)
    assert store.entries(made.id, FeedSession.feed) == list(range(50, 100))
    archive_once(settings)
    assert held(raw, made.id) == (90, KEEP, 40)
    assert archived(settings, made.id) == [*range(10), *range(50, 100)]
    assert Archive(settings).entries(made.id, FeedSession.feed, start=45, count=10) == [50, 51, 52, 53, 54]
    append(store, made.id, 100, 101)
    archive_once(settings)
    assert archived(settings, made.id)[-1] == 100
    assert dirty_members(raw) == []


@pytest.mark.parametrize("lost", ["everything", "the session"])
def test_rehydrated_with_its_newest_entries(
    store: Store, settings: Settings, raw: redis.Redis, query: Query, lost: str
) -> None:
    """What comes back is what Redis would have kept, at the positions that it had; the archive stays whole."""
    made = store.create()
    for start in range(0, 1240, 40):
        append(store, made.id, start, start + 40)
        archive_once(settings)
    if lost == "everything":
        raw.flushall()
    else:
        raw.delete(keys_of().session(made.id))
    assert rehydrate(settings, ids=[made.id]).loaded == 1
    assert held(raw, made.id) == (1230, KEEP, 0)
    assert store.entries(made.id, FeedSession.feed) == list(range(1230, 1240))
    append(store, made.id, 1240, 1245)
    archive_once(settings)
    assert held(raw, made.id) == (1235, KEEP, 0)
    assert archived(settings, made.id) == list(range(1245))
    assert query("SELECT count(*), count(DISTINCT position) FROM sojourn.session_entries") == [(1245, 1245)]
    assert list(raw.scan_iter("*staged*")) == []


def test_rehydrated_behind_a_gap(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Where the archive misses entries among the newest, those behind the gap come back, where they were."""
    made = store.create()
    append(store, made.id, 0, 3)
    archive_once(settings)
    append(store, made.id, 3, 57)  # 3 to 6 go unarchived
    archive_once(settings)
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute("DELETE FROM sojourn.session_entries WHERE position >= 10")
    raw.flushall()
    rehydrate(settings)
    assert held(raw, made.id) == (7, 3, 4)
    assert store.entries(made.id, FeedSession.feed) == [7, 8, 9]
    append(store, made.id, 10, 11)
    archive_once(settings)
    assert archived(settings, made.id) == [0, 1, 2, 7, 8, 9, 10]


def test_an_older_redis_gets_the_newer_log(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Redis restored from an older copy: record and log are put in the place of the older ones."""
    made = store.create()
    append(store, made.id, 0, 20)
    archive_once(settings)
    names = [keys_of().session(made.id), keys_of().log(made.id, "feed")]
    with redis.Redis.from_url(settings.redis_url) as plain:
        older = {name: plain.dump(name) for name in names}
        append(store, made.id, 20, 60)
        archive_once(settings)
        for name, value in older.items():
            plain.restore(name, 0, value, replace=True)
    assert held(raw, made.id) == (10, KEEP, 0)
    assert rehydrate(settings, ids=[made.id]).replaced == 1
    assert held(raw, made.id) == (50, KEEP, 0)
    append(store, made.id, 60, 65)
    archive_once(settings)
    assert archived(settings, made.id) == list(range(65))


def test_an_older_redis_that_went_on_longer_keeps_its_log(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Where Redis holds entries that the archive does not, its list stays, and so does where it begins."""
    made = store.create()
    append(store, made.id, 0, 20)
    archive_once(settings)
    append(store, made.id, 20, 30)
    with psycopg.connect(str(settings.archive_url)) as connection:  # as if the record alone had been written later
        connection.execute(
            "UPDATE sojourn.sessions SET version = 99, updated_at = updated_at + interval '1 hour', "
            "data = data || jsonb_build_object('version', '99', 'updated_at_ms', "
            "((data->>'updated_at_ms')::bigint + 3600000)::text)"
        )
    assert rehydrate(settings, ids=[made.id]).replaced == 1
    assert held(raw, made.id) == (20, KEEP, 0)
    assert store.entries(made.id, FeedSession.feed) == list(range(20, 30))
    append(store, made.id, 30, 31)
    archive_once(settings)
    assert archived(settings, made.id) == list(range(31))


def test_restored_with_its_log(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """An earlier state, in Redis or gone from it, has the log as it went on since."""
    made = store.create(owner="ada")
    for start in range(0, 120, 40):
        append(store, made.id, start, start + 40)
        archive_once(settings)
    store.update(made.id, owner="bob")
    archive_once(settings)
    assert store.restore(made.id, version=2).owner == "ada"
    assert held(raw, made.id) == (110, KEEP, 0)
    append(store, made.id, 120, 121)
    archive_once(settings)
    raw.flushall()
    assert store.restore(made.id, version=2).owner == "ada"
    assert held(raw, made.id) == (111, KEEP, 0)
    append(store, made.id, 121, 125)
    archive_once(settings)
    assert archived(settings, made.id) == list(range(125))


def test_an_archive_that_is_new_gets_what_is_left(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Archived again means: from the first entry on that Redis still has; and that comes to an end."""
    made = store.create()
    append(store, made.id, 0, 40)
    archive_once(settings)
    with psycopg.connect(str(settings.archive_url)) as connection:
        connection.execute("TRUNCATE sojourn.sessions, sojourn.session_entries, sojourn.partitions CASCADE")
    archive_again(settings)
    assert archive_once(settings).entries == KEEP
    assert archived(settings, made.id) == list(range(30, 40))
    assert dirty_members(raw) == []
    append(store, made.id, 40, 60)
    archive_once(settings)
    assert archived(settings, made.id) == list(range(30, 60))


def test_a_lost_list_is_told(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """A list that other hands deleted is not taken for one that was archived."""
    made = store.create()
    append(store, made.id, 0, 40)
    archive_once(settings)
    raw.delete(keys_of().log(made.id, "feed"))
    store.touch(made.id)
    assert archive_once(settings).damaged == 1


def test_killed_between_commit_and_settle(
    store: Store, settings: Settings, raw: redis.Redis, query: Query, start_run: Starter
) -> None:
    """Entries go on meanwhile, past the hard bound too; the next run has each entry once, in its place."""
    made = store.create()
    append(store, made.id, 0, 40)
    with psycopg.connect(str(settings.archive_url)) as holder:
        # The events come last, so the run stands still with all that it reads read.
        holder.execute("LOCK TABLE sojourn.session_events IN ACCESS EXCLUSIVE MODE")
        process = start_run(settings)
        waits = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'sojourn.session_events'::regclass"
        eventually(lambda: query(waits), what="the run to wait for the lock")
        raw.client_pause(60_000, all=False)
    try:
        eventually(lambda: raw.info("clients")["blocked_clients"] == 1, what="the settling, held up")
        assert query("SELECT count(*) FROM sojourn.session_entries") == [(40,)]
        process.kill()
        process.wait()
        eventually(lambda: raw.info("clients")["blocked_clients"] == 0, what="Redis to notice")
    finally:
        raw.client_unpause()
    assert held(raw, made.id) == (0, 40, 0)
    append(store, made.id, 40, 95)
    archive_once(settings)
    assert held(raw, made.id) == (85, KEEP, 45)  # forty of them the archive has, which Redis never heard
    append(store, made.id, 95, 96)
    archive_once(settings)
    assert archived(settings, made.id) == [*range(40), *range(45, 96)]


def test_races_of_appends_runs_and_readers(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Appends, two archive runs and readers at once: readers see a stretch of neighbours, the archive all, once."""
    made = store.create()
    roomy = settings.model_copy(update={"limits": Limits(log_entries=100_000)})
    stop = threading.Event()

    def archive() -> None:
        while not stop.is_set():
            assert archive_once(settings).damaged == 0

    def read() -> int:
        reads = 0
        while not stop.is_set():
            found = store.entries(made.id, FeedSession.feed)
            assert found == list(range(found[0], found[0] + len(found))) if found else True
            reads += 1
        return reads

    with SessionStore(settings=roomy, model=FeedSession) as writer, ThreadPoolExecutor(4) as pool:
        working: list[Future[Any]] = [pool.submit(archive), pool.submit(archive), pool.submit(read)]
        try:
            for number in range(1500):
                append(writer, made.id, number, number + 1)
        finally:
            stop.set()
        assert all(each.result() != 0 for each in working)
    archive_once(settings)
    assert held(raw, made.id) == (1490, KEEP, 0)
    assert archived(settings, made.id) == list(range(1500))


@pytest.mark.no_cover  # many values
def test_a_hundred_thousand_executions(settings: Settings, raw: redis.Redis, query: Query) -> None:
    """Of one session, with the archive at work: the list stays within bounds; counts and archive are exact."""
    bound, at_once, total = 10_000, 1_000, 100_000
    wide = settings.model_copy(update={"limits": Limits(log_entries=bound)})
    stop = threading.Event()
    longest = 0

    def archive() -> None:
        while not stop.is_set():
            archive_once(wide)

    with SessionStore(settings=wide, model=McpSession) as store, ThreadPoolExecutor(1) as pool:
        made = store.create(owner="ada")
        key = keys_of().log(made.id, "tool_executions")
        working = pool.submit(archive)
        try:
            for start in range(0, total, at_once):
                # Whoever writes faster than PostgreSQL takes it would lose entries: this one does not.
                eventually(lambda: raw.llen(key) <= bound - at_once, deadline_s=30, what="room")
                calls = [
                    {"tool": f"t{n % 7}", "duration": n / 1e6, "success": n % 10 > 0}
                    for n in range(start, start + at_once)
                ]
                assert store.mcp.record_tool_executions(made.id, calls, owner="ada") == start + at_once
                longest = max(longest, int(raw.llen(key)))
        finally:
            stop.set()
        working.result()
        archive_once(wide)
        metrics = store.mcp.metrics(made.id)
        assert longest <= bound
        assert (metrics.log_first, metrics.log_length, metrics.log_dropped) == (99_000, 1_000, 0)
        assert (metrics.total, metrics.failed) == (total, total // 10)
        assert sum(each.total for each in metrics.tools.values()) == total
        assert metrics.duration.total_seconds() * 1e6 == sum(range(total))
        session = store.get(made.id)
        assert (session.executions, session.failed_executions) == (total, total // 10)
        assert session.execution_time_us == sum(range(total))
    durations = "array_agg(extract(microseconds FROM (entry->>'duration')::interval)::int ORDER BY position)"
    (found,) = query(f"SELECT {durations} FROM sojourn.session_entries")  # noqa: S608
    assert found[0] == list(range(total))


def test_single_executions_of_several_processes(settings: Settings, raw: redis.Redis) -> None:
    """Recorded one by one by four processes while the archive runs: none is lost, none counted twice."""
    wide = settings.model_copy(update={"limits": Limits(log_entries=10_000)})
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    with SessionStore(settings=wide, model=McpSession) as store:
        made = store.create()
        processes = [
            context.Process(target=record_each, args=(wide.redis_url, made.id, me, 500, start)) for me in range(4)
        ]
        for each in processes:
            each.start()
        start.set()
        while any(each.is_alive() for each in processes):
            archive_once(wide)
        assert [each.exitcode for each in processes] == [0] * 4
        archive_once(wide)
        metrics = store.mcp.metrics(made.id)
        assert (metrics.total, metrics.failed, metrics.log_first, metrics.log_length) == (2000, 4 * 167, 1000, 1000)
        assert {tool: each.total for tool, each in metrics.tools.items()} == {f"tool-{me}": 500 for me in range(4)}
        found = Archive(wide).entries(made.id, McpSession.tool_executions)
        assert len(found) == 2000
        for me in range(4):
            own = [each.duration.total_seconds() for each in found if each.tool == f"tool-{me}"]
            assert own == [number / 1000 for number in range(500)]
        assert store.entries(made.id, McpSession.tool_executions) == found[1000:]


def test_a_log_that_is_not_bounded_is_as_ever(settings: Settings, raw: redis.Redis) -> None:
    """It keeps all in Redis, archived or not."""
    with SessionStore(settings=settings, model=DocumentationSession) as store:
        made = store.create(workspace_id="w", module_name="m")
        lines: Log[int] = Log(int, "lines")
        store.append(made.id, lines, *range(50))
        archive_once(settings)
        assert store.entries(made.id, lines) == list(range(50))
        assert raw.hkeys(keys_of().session(made.id)).count("_first:lines") == 0


@pytest.mark.parametrize("gone", [False, True], ids=["held", "gone"])
def test_counts_stay_with_the_log(settings: Settings, raw: redis.Redis, gone: bool) -> None:
    """Where an earlier state is restored, and where a session is rehydrated; history tells the counts of then."""
    with SessionStore(settings=settings, model=McpSession) as store:
        made = store.create(owner="ada")
        calls = [{"tool": "t", "duration": 1, "success": n % 3 > 0} for n in range(6)]
        store.mcp.record_tool_executions(made.id, calls)
        store.update(made.id, owner="bob")
        store.mcp.record_tool_executions(made.id, calls)
        archive_once(settings)
        before = store.mcp.metrics(made.id)
        if gone:
            raw.flushall()
        restored = store.restore(made.id, version=2)
        assert (restored.owner, restored.executions, restored.failed_executions) == ("ada", 12, 4)
        assert store.mcp.metrics(made.id) == before
        assert store.mcp.record_tool_executions(made.id, calls) == 18
        assert Archive(settings, model=McpSession).restore(made.id, version=2).executions == 6
        archive_once(settings)
        after = store.mcp.metrics(made.id)
        assert (after.total, after.failed, after.log_length, after.log_dropped) == (18, 6, 18, 0)
        raw.flushall()
        rehydrate(settings)
        assert store.mcp.metrics(made.id) == after
        assert Archive(settings, model=McpSession).restore(made.id, version=4).executions == 12
        assert Archive(settings, model=McpSession).restore(made.id).executions == 18


def test_a_list_that_nobody_knows_the_beginning_of(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Where the record is gone and its list is not, what the archive holds takes its place, however long that is."""
    made = store.create()
    append(store, made.id, 0, 20)
    archive_once(settings)
    append(store, made.id, 20, 80)
    raw.delete(keys_of().session(made.id))
    assert rehydrate(settings, ids=[made.id]).loaded == 1
    assert held(raw, made.id) == (10, KEEP, 0)
    assert store.entries(made.id, FeedSession.feed) == list(range(10, 20))


def test_counts_that_the_archive_does_not_have_yet(settings: Settings) -> None:
    """They stay with the log too, where Redis holds the session that is restored."""
    with SessionStore(settings=settings, model=McpSession) as store:
        made = store.create(owner="ada")
        store.update(made.id, owner="bob")
        archive_once(settings)
        store.mcp.record_tool_executions(made.id, [{"tool": "t", "duration": 1}] * 3)
        restored = store.restore(made.id, version=1)
        assert (restored.owner, restored.executions, restored.execution_time_us) == ("ada", 3, 3_000_000)
        assert store.mcp.metrics(made.id).total == 3
