"""`cleanup_inactive`: what nobody has used for long ends, and nothing else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.drivers import StoreOpener, snapshot
from tests.proxy import Proxy
from tests.store.cleanup.test_due import let_pass, with_tokens
from tests.store.examples import JobSession, RangeSession, StrictSession, keys_of

from sojourn import InvalidInput, SessionCorrupt, SessionNotFound, SessionStore
from sojourn.models import Session

DAY_MS = 86_400_000


def aged(store: Any, raw: Any, days: float, *, used: float | None = None, **fields: Any) -> str:
    """Return the id of a session that is so many days old, and was used so many days ago."""
    ttl = fields.pop("ttl", None)
    session = store.create(ttl=ttl, **fields)
    keys, now = keys_of(store), int(session.created_at.timestamp() * 1000)
    created = now - round(days * DAY_MS)
    used_at = created if used is None else now - round(used * DAY_MS)
    raw.hset(
        keys.session(session.id),
        mapping={"created_at_ms": created, "updated_at_ms": used_at, "accessed_at_ms": used_at},
    )
    for index in raw.scan_iter(f"{keys.prefix}index:*"):
        if raw.zscore(index, session.id) is not None:
            raw.zadd(index, {session.id: created})
    return str(session.id)


def test_what_is_inactive_ends(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Live sessions of both statuses, also without a TTL; what was used since, is young or has ended stays."""
    old = aged(jobs, raw, 10)
    working = aged(jobs, raw, 8)
    jobs.update(working, status="in_progress")
    raw.hset(keys_of(jobs).session(working), "updated_at_ms", raw.hget(keys_of(jobs).session(old), "updated_at_ms"))
    with_ttl = aged(jobs, raw, 9, ttl=30 * 86_400)
    used, young = aged(jobs, raw, 10, used=1), jobs.create(ttl=None).id
    done = jobs.complete(aged(jobs, raw, 10)).id
    report = jobs.cleanup_inactive(timedelta(days=7))
    assert (report.looked_at, report.ended, report.skipped, report.failed) == (4, 3, 1, 0)
    assert sorted(report.ids) == sorted([old, working, with_ttl])
    for each in report.ids:
        session = jobs.get(each)
        assert (session.status, session.end_reason) == ("terminated", "inactive")
    assert jobs.get(used).is_live
    assert jobs.get(young).is_live
    assert jobs.get(done).status == "completed"
    told = [each for each in jobs.peek_events(start="oldest", limit=100).events if each.type == "ended"]
    assert sorted(each.session_id for each in told) == sorted([*report.ids, done])


@pytest.mark.parametrize(
    "use",
    [
        lambda store, id_: store.touch(id_),
        lambda store, id_: store.update(id_, note="x"),
        lambda store, id_: store.increment(id_, attempts=1),
        lambda store, id_: store.append(id_, JobSession.lines, "x"),
        lambda store, id_: store.set_ttl(id_, 3600),
    ],
)
def test_each_use_counts(jobs: SessionStore[JobSession], raw: Any, use: Callable[[Any, str], Any]) -> None:
    """Whatever writes to a session keeps it."""
    session_id = aged(jobs, raw, 10)
    use(jobs, session_id)
    report = jobs.cleanup_inactive(86_400)
    assert (report.ended, report.skipped) == (0, 1)


def test_reads_count_where_sessions_slide(open_any_store: StoreOpener, any_redis_url: str) -> None:
    """A read that moved nothing, since that would have gained too little, still keeps the session."""
    import redis

    store = open_any_store(JobSession, sliding=True, slide_gain=0.5)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as raw:
        session_id = aged(store, raw, 2, ttl=6 * 86_400)  # a read at up to 3 days after the last move is not noted
        assert store.cleanup_inactive(timedelta(days=1)).ended == 0
        fixed = open_any_store(JobSession)
        assert fixed.cleanup_inactive(timedelta(days=1), dry_run=True).ids == (session_id,)
        long_ago = aged(store, raw, 5, ttl=6 * 86_400)
        assert store.cleanup_inactive(timedelta(days=1)).ids == (long_ago,)


def test_a_dry_run_changes_nothing(jobs: SessionStore[JobSession], raw: Any) -> None:
    """It tells the same as the run after it, and not a byte of Redis is another."""
    ids = [aged(jobs, raw, 10) for _ in range(25)]
    before = snapshot(raw)
    dry = jobs.cleanup_inactive(86_400, dry_run=True)
    assert snapshot(raw) == before
    assert dry.dry_run
    assert (dry.ended, sorted(dry.ids)) == (25, sorted(ids))
    assert jobs.cleanup_inactive(86_400).ended == 25


def test_filters(open_store: StoreOpener, raw: Any) -> None:
    """Status and kind narrow it; a store of one model leaves the sessions of others."""
    jobs, ranges, everything = open_store(JobSession), open_store(RangeSession), open_store(Session)
    job, of_ranges = aged(jobs, raw, 10), aged(ranges, raw, 10)
    assert jobs.cleanup_inactive(3600, status="in_progress").looked_at == 0
    assert jobs.cleanup_inactive(3600, dry_run=True).ids == (job,)
    assert everything.cleanup_inactive(3600, dry_run=True, kind="session").ended == 0
    assert sorted(everything.cleanup_inactive(3600, reason="nobody came").ids) == sorted([job, of_ranges])
    assert ranges.get(of_ranges).end_reason == "nobody came"


def test_one_owner(open_store: StoreOpener, raw: Any) -> None:
    """The view of one owner ends that owner's alone, and tells of no other."""
    jobs = open_store(JobSession)
    mine = [aged(jobs, raw, 10, owner="ada") for _ in range(3)]
    theirs = [aged(jobs, raw, 10, owner="bob") for _ in range(3)]
    jobs.complete(mine.pop())
    report = jobs.owned_by("ada").cleanup_inactive(3600)
    assert (report.looked_at, sorted(report.ids)) == (2, sorted(mine))
    assert all(jobs.get(each).is_live for each in theirs)


def test_one_failure_stops_none_of_the_others(open_store: StoreOpener, raw: Any) -> None:
    """Damaged records, and those that their model does not let end so, are told of with their ids."""
    strict = open_store(StrictSession)
    good = [aged(strict, raw, 10) for _ in range(30)]
    keys = keys_of(strict)
    damaged, forbidden = aged(strict, raw, 9), aged(strict, raw, 11)
    raw.hset(keys.session(damaged), "version", "x")
    strict.update(forbidden, status="in_progress")
    raw.hset(keys.session(forbidden), "updated_at_ms", raw.hget(keys.session(good[0]), "updated_at_ms"))
    report = strict.cleanup_inactive(86_400)
    assert (report.ended, report.failed) == (30, 2)
    found = {each.session_id: type(each.error).__name__ for each in report.failures}
    assert found == {damaged: SessionCorrupt.__name__, forbidden: "InvalidTransition"}
    assert raw.hget(keys.stats, "cleanup|failures") == "1"


def test_a_touch_is_never_lost(open_store: StoreOpener, raw: Any) -> None:
    """Whoever is told that a touch went through keeps the session, whatever cleanups run at the same time."""
    store = open_store(JobSession)
    ids = [aged(store, raw, 10) for _ in range(150)]
    kept: list[str] = []
    refused: list[str] = []
    start = threading.Barrier(3)

    def touch(own: list[str]) -> None:
        with SessionStore(open_store.url, model=JobSession) as other:
            start.wait(10)
            for each in own:
                try:
                    other.touch(each)
                    kept.append(each)
                except Exception as error:  # noqa: BLE001 - which it may be is checked below
                    assert type(error).__name__ == "SessionEnded", error  # noqa: PT017
                    refused.append(each)

    touchers = [threading.Thread(target=touch, args=(ids[number::2],)) for number in range(2)]
    for each in touchers:
        each.start()
    start.wait(10)
    report = store.cleanup_inactive(86_400, batch=3)
    for each in touchers:
        each.join(30)
    assert len(kept) + len(refused) == len(ids)
    assert report.ended >= len(refused)
    for session_id in kept:
        assert store.get(session_id).is_live, session_id
    assert set(report.ids).isdisjoint(kept)
    assert report.looked_at <= len(ids)


def test_a_lost_reply_counts_once(open_store: StoreOpener, raw: Any, proxy_to: Callable[[str], Proxy]) -> None:
    """A step that is sent again tells how many it ended the first time."""
    proxy = proxy_to(open_store.url)
    store = open_store(JobSession, url=proxy.url, socket_timeout=0.3)
    for _ in range(25):
        aged(store, raw, 10)
    proxy.drop_replies(1, to=b"EVALSHA")
    report = store.cleanup_inactive(86_400)
    assert proxy.dropped == 1
    assert (report.ended, report.looked_at) == (25, 25)


def test_progress_knows_of_how_many(jobs: SessionStore[JobSession], raw: Any) -> None:
    """The first step counts the candidates."""
    for _ in range(22):
        aged(jobs, raw, 3)
    told: list[tuple[int, int | None]] = []
    jobs.cleanup_inactive(86_400, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (22, 22)
    assert len(told) > 2


def test_a_full_server_is_cleaned_up(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Out of memory, where nothing may grow, sessions end and are claimed all the same; only the run is not counted."""
    due = [each.id for each in jobs.create_many([{}] * 7, ttl=3600)]
    for _ in range(7):
        aged(jobs, raw, 10)
    let_pass(jobs, raw, due)
    raw.config_set("maxmemory", 1)
    try:
        assert (jobs.expire_due().expired, jobs.cleanup_inactive(86_400).ended) == (7, 7)
        assert raw.hget(keys_of(jobs).stats, "cleanup|runs") is None
    finally:
        raw.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    "given",
    [
        {"max_age": None}, {"max_age": 0}, {"max_age": -1}, {"max_age": "7d"}, {"max_age": 1, "batch": 0},
        {"max_age": 1, "batch": 101}, {"max_age": 1, "batch": 2.0}, {"max_age": 1, "status": "completed"},
        {"max_age": 1, "status": "odd"}, {"max_age": 1, "kind": "zebra"}, {"max_age": 1, "reason": "x" * 2000},
        {"max_age": 1, "dry_run": "no"}, {"max_age": 1, "progress": 3},
    ],
)  # fmt: skip
def test_odd_arguments(jobs: SessionStore[JobSession], given: dict[str, Any]) -> None:
    """They are refused before Redis is asked."""
    with pytest.raises(InvalidInput):
        jobs.cleanup_inactive(**given)


def test_a_place_that_vanished(jobs: SessionStore[JobSession], raw: Any) -> None:
    """An index entry without a record is passed over."""
    gone, there = aged(jobs, raw, 5), aged(jobs, raw, 4)
    raw.delete(keys_of(jobs).session(gone))
    report = jobs.cleanup_inactive(86_400)
    assert (report.looked_at, report.ids) == (1, (there,))
    with pytest.raises(SessionNotFound):
        jobs.get(gone)


def resident_bytes() -> int:
    """Return how much memory this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's memory so")
@pytest.mark.timeout(900)
def test_a_hundred_thousand_in_constant_memory(open_any_store: StoreOpener) -> None:
    """Neither the walk over 100,000 sessions nor the end of all makes the process larger."""
    store = open_any_store(JobSession, events_cap=100, max_connections=10)
    for _ in range(200):
        store.create_many([{}] * 500, ttl=None)
    time.sleep(1.5)
    store.cleanup_inactive(3600, dry_run=True)
    sizes: dict[int, int] = {}
    before = resident_bytes()
    dry = store.cleanup_inactive(1, dry_run=True, batch=100)

    def note(done: int, _: int | None) -> None:
        sizes.setdefault(done // 5000, resident_bytes())

    report = store.cleanup_inactive(1, batch=100, progress=note)
    assert (dry.ended, report.ended) == (100_000, 100_000)
    assert len(sizes) > 10
    assert max(sizes.values()) - before < 8 * 2**20


def test_sessions_with_many_tokens(jobs: SessionStore[JobSession], raw: Any) -> None:
    """None is left."""
    ids = [aged(jobs, raw, 10) for _ in range(9)]
    jobs.cleanup_inactive(86_400, dry_run=True)
    with_tokens(jobs, raw, ids, 600)
    report = jobs.cleanup_inactive(86_400, batch=50)
    assert (report.ended, sorted(report.ids), report.more) == (9, sorted(ids), False)
    assert list(raw.scan_iter("*:token*", count=1000)) == list(raw.scan_iter("*:families:*", count=1000)) == []
