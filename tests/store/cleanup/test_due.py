"""`expire_due`: what a service that runs no worker claims for itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from tests.drivers import StoreOpener
from tests.proxy import Proxy
from tests.store.examples import JobSession, keys_of

from sojourn import InvalidInput, SessionNotFound, SessionStore, Settings
from sojourn.archive import archive_once, init


def overdue(store: Any, raw: Any, count: int = 1, **fields: Any) -> list[str]:
    """Return the ids of new sessions whose deadline has passed, and which nobody has claimed."""
    made = [each.id for each in store.create_many([fields] * count, ttl=3600)]
    let_pass(store, raw, made)
    return made


def let_pass(store: Any, raw: Any, session_ids: list[str], passed: int = 0) -> None:
    """Have sessions' deadlines passed a second ago, or at that time."""
    keys, passed = keys_of(store), passed or int(_now_ms(raw)) - 1000
    for each in session_ids:
        raw.hset(keys.session(each), "expires_at_ms", passed)
        raw.zadd(keys.partition.deadlines, {keys.member(each): passed})


def _now_ms(raw: Any) -> float:
    seconds, microseconds = raw.time()
    return float(seconds * 1000 + microseconds // 1000)


def types(store: Any) -> list[tuple[str, str]]:
    """Return what the tenant's events are, and of which session."""
    return [(each.type, each.session_id) for each in store.peek_events(start="oldest", limit=1000).events]


def test_what_is_due_is_claimed_once(jobs: SessionStore[JobSession], raw: Any) -> None:
    """All of it, in several scripts, with one event each; what is not due stays, and a second run finds nothing."""
    live = jobs.create(ttl=3600)
    ids = overdue(jobs, raw, 35)
    report = jobs.expire_due()
    assert (report.expired, report.lost, report.damaged, report.failed, report.more) == (35, 0, 0, 0, False)
    assert report.duration_s > 0
    expired = [session_id for kind, session_id in types(jobs) if kind == "expired"]
    assert sorted(expired) == sorted(ids)
    assert jobs.expire_due().expired == 0
    assert jobs.get(live.id).is_live
    assert jobs.count(status="expired") == 35


def test_a_limit(jobs: SessionStore[JobSession], raw: Any) -> None:
    """No more than asked for; the report says that something is left."""
    overdue(jobs, raw, 15)
    report = jobs.expire_due(limit=12)
    assert (report.expired, report.more) == (12, True)
    assert jobs.expire_due().expired == 3


def test_lost_and_damaged_records(jobs: SessionStore[JobSession], raw: Any) -> None:
    """They are counted apart, and stop nothing."""
    ids = overdue(jobs, raw, 4)
    raw.delete(keys_of(jobs).session(ids[0]))
    raw.hset(keys_of(jobs).session(ids[1]), "version", "x")
    report = jobs.expire_due()
    assert (report.expired, report.lost, report.damaged, report.failed) == (2, 1, 1, 0)


def test_one_failure_stops_none_of_the_others(jobs: SessionStore[JobSession], raw: Any) -> None:
    """A session whose index other hands gave another type is told of, with its id; all others are claimed."""
    odd, *ids = [each.id for each in jobs.create_many([{}] * 29, ttl=3600)]
    let_pass(jobs, raw, ids)
    let_pass(jobs, raw, [odd], passed=10**12)
    raw.hset(keys_of(jobs).session(odd), "kind", "zebra")
    raw.set(keys_of(jobs).status_index("zebra", "pending"), "not a sorted set")
    report = jobs.expire_due()
    assert (report.expired, report.failed) == (len(ids), 1)
    assert report.failures[0].session_id == odd
    assert odd in str(report.failures[0].error)
    assert raw.hget(keys_of(jobs).stats, "cleanup|failures") == "1"


def test_what_ended_goes_when_its_time_is_over(open_store: StoreOpener, raw: Any) -> None:
    """Ended sessions are removed after `retention`, since no archive waits for them."""
    store = open_store(JobSession, retention=0)
    made = [each.id for each in store.create_many([{}] * 12)]
    for each in made:
        store.complete(each)
    assert store.expire_due().removed == 12
    assert not any(raw.exists(keys_of(store).session(each)) for each in made)


def test_what_the_archive_waits_for_stays(open_any_store: StoreOpener, any_redis_url: str, postgres_url: str) -> None:
    """Whether the caller knows of the archive, or the outbox tells of it: nothing goes that it does not hold."""
    init(postgres_url)
    knowing = open_any_store(JobSession, retention=0, archive_url=postgres_url)
    other = open_any_store(JobSession, retention=0)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as raw:
        first = knowing.complete(knowing.create().id).id
        assert knowing.expire_due().removed == 0
        archive_once(Settings(redis_url=any_redis_url, archive_url=postgres_url, retention=0))
        second = other.complete(other.create().id).id
        assert other.expire_due().removed == 0
        assert raw.exists(keys_of(other).session(second))
    assert knowing.archive.get(first).status == "completed"


def test_a_lost_reply_counts_once(open_store: StoreOpener, raw: Any, proxy_to: Callable[[str], Proxy]) -> None:
    """A step that is sent again tells what it did the first time."""
    proxy = proxy_to(open_store.url)
    store = open_store(JobSession, url=proxy.url, socket_timeout=0.3)
    overdue(store, raw, 7)
    proxy.drop_replies(1, to=b"EVALSHA")
    report = store.expire_due()
    assert proxy.dropped == 1
    assert report.expired == 7
    assert raw.hget(keys_of(store).stats, "cleanup|runs") == "1"


def test_many_at_once_claim_each_once(open_store: StoreOpener, raw: Any) -> None:
    """Clients that all call it share what is due."""
    store = open_store(JobSession)
    ids = overdue(store, raw, 60)
    stores = [SessionStore(open_store.url, model=JobSession) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda each: each.expire_due(), stores))
    for each in stores:
        each.close()
    assert sum(each.expired for each in reports) == len(ids)
    assert len([kind for kind, _ in types(store) if kind == "expired"]) == len(ids)


def test_runs_are_counted(jobs: SessionStore[JobSession], raw: Any) -> None:
    """In Redis, beside the tenant's other counts, with the time of the last by Redis's clock."""
    jobs.create()
    before = _now_ms(raw)
    jobs.expire_due()
    jobs.cleanup_inactive(3600)
    jobs.cleanup_inactive(3600, dry_run=True)
    found = raw.hgetall(keys_of(jobs).stats)
    assert found["cleanup|runs"] == "2"
    assert "cleanup|failures" not in found
    assert before <= int(found["cleanup|last_ms"]) <= _now_ms(raw)


def test_progress_is_told(jobs: SessionStore[JobSession], raw: Any) -> None:
    """After each step."""
    overdue(jobs, raw, 25)
    told: list[tuple[int, int | None]] = []
    jobs.expire_due(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (25, None)
    assert len(told) > 2


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_odd_limits(jobs: SessionStore[JobSession], limit: Any) -> None:
    """They are refused."""
    with pytest.raises(InvalidInput):
        jobs.expire_due(limit=limit)


def test_no_script_takes_long(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Each step is far below five milliseconds of Redis on average, however many are due."""
    overdue(jobs, raw, 400)
    raw.config_resetstat()
    started = time.monotonic()
    assert jobs.expire_due().expired == 400
    assert time.monotonic() - started < 10
    scripts = raw.info("commandstats")["cmdstat_evalsha"]
    assert scripts["usec_per_call"] < 5000
    with pytest.raises(SessionNotFound):
        jobs.get("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")


def with_tokens(store: Any, raw: Any, session_ids: list[str], count: int) -> None:
    """Give sessions tokens, written by hand since that many take long to issue."""
    keys, over_at = keys_of(store), int(_now_ms(raw)) + 3_600_000
    for each in session_ids:
        hashes = [f"{each.replace('-', ''):0>32}{number:032x}" for number in range(count)]
        names = [f"{number:010x}" for number in range(count)]
        family = "since 1 issued 1 until {over} access {hash} for 1 refresh - for 0 used -"
        raw.hset(
            keys.token(each),
            mapping={hash_: f"access {name} {over_at} " for hash_, name in zip(hashes, names, strict=True)}
            | {name: family.format(over=over_at, hash=hash_) for hash_, name in zip(hashes, names, strict=True)},
        )
        raw.zadd(keys.tokens(each), dict.fromkeys(hashes, over_at))
        raw.zadd(keys.families(each), {f"{over_at}:{name}": 1 for name in names})


def test_sessions_with_many_tokens(jobs: SessionStore[JobSession], raw: Any) -> None:
    """None is left."""
    jobs.expire_due()
    ids = overdue(jobs, raw, 8)
    with_tokens(jobs, raw, ids, 600)
    report = jobs.expire_due()
    assert (report.expired, report.failed, report.more) == (8, 0, False)
    assert list(raw.scan_iter("*:token*", count=1000)) == list(raw.scan_iter("*:families:*", count=1000)) == []


def test_a_member_that_names_no_session(jobs: SessionStore[JobSession], raw: Any) -> None:
    """One that other hands wrote into the deadlines goes, and keeps none of the sessions from being claimed."""
    ids = overdue(jobs, raw, 5)
    deadlines = keys_of(jobs).partition.deadlines
    raw.zadd(deadlines, {f"{jobs.tenant}/": 5})
    raw.zadd(keys_of(jobs).partition.removals, {f"{jobs.tenant}/": 5})
    report = jobs.expire_due()
    assert (report.expired, report.failed, report.more) == (len(ids), 0, False)
    assert raw.zrange(deadlines, 0, -1) == []
