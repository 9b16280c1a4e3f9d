"""Runs at the same time, runs that are killed, and a PostgreSQL that goes away."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import redis
from tests.proxy import Proxy
from tests.store.archive.conftest import Starter
from tests.store.archive.helpers import dirty_members, keys_of, note
from tests.waiting import eventually

from sojourn import DocumentationSession, SessionStore, Settings
from sojourn.archive import GROUP, Archive, archive_once, init
from sojourn.archive.database import connected
from sojourn.archive.sink import lock_partition
from sojourn.embedded import PostgresServer
from sojourn.errors import ArchiveUnavailable

Query = Callable[..., list[tuple[Any, ...]]]
Store = SessionStore[DocumentationSession]
_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}


def make(store: Store, count: int) -> list[str]:
    """Make sessions with two notes each; return their ids."""
    made = [session.id for session in store.create_many([_NEW] * count)]
    for session_id in made:
        store.append(session_id, DocumentationSession.notes, note("a"), note("b"))
    return made


def check_whole(settings: Settings, store: Store, raw: redis.Redis, query: Query, made: list[str]) -> None:
    """Check that the archive holds all sessions, notes and events, each once, and that Redis knows so."""
    assert dirty_members(raw) == []
    assert raw.xpending(keys_of().partition.events, GROUP)["pending"] == 0
    archive = Archive(settings)
    for session_id in made:
        assert archive.get(session_id) == store.get(session_id)
        notes = DocumentationSession.notes
        assert archive.entries(session_id, notes) == store.entries(session_id, notes)
    (sessions,), (entries,), (events,) = (
        query(f"SELECT count(*) FROM sojourn.{table}")[0]  # noqa: S608
        for table in ("sessions", "session_entries", "session_events")
    )
    assert (sessions, entries, events) == (len(made), 2 * len(made), raw.xlen(keys_of().partition.events))


def test_many_runs_at_once(settings: Settings, store: Store, raw: redis.Redis, query: Query) -> None:
    """Four workers archive while four writers write: everything arrives once, and nothing is settled too early."""
    tenants = [store.for_tenant(name) for name in ("default", "a", "b", "c")]
    small = settings.model_copy(update={"archive_batch": 7})
    stop = threading.Event()

    def archive(_: int) -> int:
        entries = 0
        while True:
            last = stop.is_set()
            report = archive_once(small)
            assert report.damaged + report.lost + report.stale + report.busy == 0
            entries += report.entries
            if last:
                return entries

    def write(own: Store) -> list[str]:
        made = make(own, 25)
        for number in range(4):
            for session_id in made:
                own.update(session_id, current_file=str(number))
        return made

    with ThreadPoolExecutor(8) as pool:
        archiving = [pool.submit(archive, number) for number in range(4)]
        try:
            made = list(pool.map(write, tenants))
        finally:
            stop.set()
        entries = sum(each.result() for each in archiving)
    assert entries == 4 * 25 * 2
    report = archive_once(settings)
    assert (report.sessions, report.entries, report.events) == (0, 0, 0)
    for own, ids in zip(tenants, made, strict=True):
        assert dirty_members(raw, own.tenant) == []
        for session_id in ids:
            assert Archive(settings, tenant=own.tenant).get(session_id) == own.get(session_id)
    assert query("SELECT count(*) FROM sojourn.session_entries") == [(200,)]
    assert query("SELECT count(*) FROM sojourn.session_events") == [(4 * 25 * 6,)]


def test_a_run_waits_for_the_one_that_holds_a_partition(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """A run does not do again what another is doing, but when it is over, all is archived."""
    made = make(store, 3)
    url = str(settings.archive_url)
    with ThreadPoolExecutor(1) as pool, connected(url, 10) as other:
        with other.transaction():
            assert lock_partition(other, keys_of().partition.number, wait=False)
            impatient = archive_once(settings.model_copy(update={"archive_timeout": 0.2}))
            assert (impatient.busy, impatient.sessions) == (1, 0)
            waiting = pool.submit(archive_once, settings)
            with psycopg.connect(url, autocommit=True) as look:
                asks = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                eventually(lambda: look.execute(asks).fetchall(), what="a run that waits for the lock")
            assert not waiting.done()
        assert waiting.result(30).sessions == len(made)
    assert dirty_members(raw) == []


def test_killed_between_insert_and_commit(
    settings: Settings, store: Store, raw: redis.Redis, query: Query, start_run: Starter
) -> None:
    """Nothing of the transaction stays, and the next run archives everything, with the events that were taken."""
    made = make(store, 20)
    with psycopg.connect(str(settings.archive_url)) as holder:
        # The events come last, so the run stands still with sessions and notes inserted.
        holder.execute("LOCK TABLE sojourn.session_events IN ACCESS EXCLUSIVE MODE")
        process = start_run(settings)
        waits = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'sojourn.session_events'::regclass"
        eventually(lambda: query(waits), what="the run to wait for the lock")
        assert raw.xpending(keys_of().partition.events, GROUP)["pending"] == 40
        process.kill()
        process.wait()
    gone = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sojourn-archive'"
    eventually(lambda: not query(gone), what="the end of the run's transaction")
    assert query("SELECT count(*) FROM sojourn.sessions") == [(0,)]
    assert len(dirty_members(raw)) == 20
    report = archive_once(settings)
    assert (report.sessions, report.entries, report.events, report.settled) == (20, 40, 40, 20)
    check_whole(settings, store, raw, query, made)


def test_killed_between_commit_and_settle(
    settings: Settings, store: Store, raw: redis.Redis, query: Query, start_run: Starter
) -> None:
    """What was committed is found to be there by the next run, and only settled."""
    made = make(store, 20)
    archive_once(settings)
    for session_id in made:
        store.touch(session_id)  # dirty, but no event, which the run would have to write to Redis for
    before = query("SELECT max(updated_at) FROM sojourn.sessions")
    raw.client_pause(60_000, all=False)
    try:
        process = start_run(settings)
        eventually(
            lambda: query("SELECT max(updated_at) FROM sojourn.sessions") != before, what="the commit", deadline_s=20
        )
        blocked = "blocked_clients"
        eventually(lambda: raw.info("clients")[blocked] == 1, what="the settling, held up")
        process.kill()
        process.wait()
        eventually(lambda: raw.info("clients")[blocked] == 0, what="Redis to notice")
    finally:
        raw.client_unpause()
    assert len(dirty_members(raw)) == 20
    report = archive_once(settings)
    assert (report.sessions, report.entries, report.events, report.settled) == (0, 0, 0, 20)
    check_whole(settings, store, raw, query, made)


def test_killed_at_random(settings: Settings, store: Store, raw: redis.Redis, query: Query, start_run: Starter) -> None:
    """However often and wherever runs are killed, in the end each thing is there once."""
    made = make(store, 60)
    processes: list[subprocess.Popen[bytes]] = []
    for number in range(6):
        for session_id in made[number::6]:
            store.update(session_id, current_file=str(number))
        processes.append(start_run(settings))
        eventually(
            lambda process=processes[-1]: (
                process.poll() is not None  # type: ignore[misc]
                or query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'sojourn-archive'")
            ),
            what="a run at work",
        )
        time.sleep(0.004 * number)  # where in the run it strikes is left to chance
        processes[-1].kill()
        processes[-1].wait()
    report = archive_once(settings)
    assert report.complete
    assert report.damaged + report.lost + report.stale == 0
    check_whole(settings, store, raw, query, made)


def test_postgres_goes_and_comes(any_redis_url: str, own_postgres: PostgresServer) -> None:
    """While it is away, runs fail at once and plainly; nothing is lost, and the next run archives it."""
    init(own_postgres.url)
    settings = Settings(redis_url=any_redis_url, archive_url=own_postgres.url, archive_timeout=2)
    with SessionStore(settings=settings, model=DocumentationSession) as store:
        made = make(store, 5)
        archive_once(settings)
        own_postgres.kill()
        for session_id in made:
            store.update(session_id, current_file="while away")
        began = time.monotonic()
        with pytest.raises(ArchiveUnavailable) as caught:
            archive_once(settings)
        with pytest.raises(ArchiveUnavailable):
            Archive(settings).get(made[0])
        assert time.monotonic() - began < 2
        assert "\n" not in str(caught.value)
        assert own_postgres.url.split(":")[2].split("@")[0] not in str(caught.value)
        own_postgres.restart()
        report = archive_once(settings)
        assert (report.sessions, report.events, report.settled) == (5, 5, 5)
        assert Archive(settings).get(made[0]) == store.get(made[0])


def test_a_frozen_postgres_holds_nobody(
    settings: Settings, store: Store, proxy_to: Callable[[str], Proxy], raw: redis.Redis
) -> None:
    """A server that takes statements and never answers is given up on; what it was told is not taken for done."""
    made = make(store, 3)
    proxy = proxy_to(str(settings.archive_url))
    through = settings.model_copy(update={"archive_url": proxy.url, "archive_timeout": 0.5})
    for statement in (b"INSERT INTO sojourn.sessions", b"COMMIT"):
        proxy.drop_replies(1, to=statement)
        began = time.monotonic()
        with pytest.raises(ArchiveUnavailable, match="did not answer within"):
            archive_once(through)
        assert time.monotonic() - began < 5
        assert len(dirty_members(raw)) == 3
    assert archive_once(through).settled == 3
    assert len(Archive(through).list().sessions) == len(made)


def test_a_slow_statement_is_ended(settings: Settings, store: Store) -> None:
    """A statement beyond the timeout, and a lock that is not to be had, end the run with a plain error."""
    store.create(**_NEW)
    short = settings.model_copy(update={"archive_timeout": 0.3})
    with psycopg.connect(str(settings.archive_url)) as holder:
        holder.execute("LOCK TABLE sojourn.sessions IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ArchiveUnavailable, match="others held a lock"):
            Archive(short).counts()
        with pytest.raises(ArchiveUnavailable, match="others held a lock"):
            archive_once(short)
    with pytest.raises(ArchiveUnavailable, match=r"0\.3 s"), connected(str(settings.archive_url), 0.3) as connection:
        connection.execute("SELECT pg_sleep(10)")
    assert archive_once(short).settled == 1
