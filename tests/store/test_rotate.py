"""Another id for a session: the same record goes on, and the old id is nobody's."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.census import strays
from tests.drivers import StoreOpener, snapshot
from tests.proxy import Proxy
from tests.store.examples import JobSession, RangeSession, keys_of
from tests.store.test_census import rest, run, sweep
from tests.waiting import eventually

from sojourn import (
    InvalidField,
    InvalidId,
    SessionEnded,
    SessionNotFound,
    SessionStore,
    Settings,
    StoreFull,
    VersionConflict,
    WrongKind,
)
from sojourn.operations import expiry, rotation

Jobs = SessionStore[JobSession]
UNKNOWN_ID = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
MOVED = {"id", "version", "updated_at"}


@pytest.mark.parametrize("ttl", [500, None])
def test_the_record_goes_on(jobs: Jobs, raw: Any, redis_url: str, ttl: int | None) -> None:
    """Fields, counters, logs, indexes and deadline are those of before; the version counts on."""
    made = jobs.create(owner="ada", tags=["x", "y"], labels=["l"], metadata={"a": [1]}, ttl=ttl, max_lifetime=900)
    jobs.increment(made.id, attempts=3)
    jobs.append(made.id, JobSession.lines, "one", "two")
    before = jobs.get(made.id)
    new = jobs.rotate_id(made.id)
    assert new.id != made.id
    assert new.model_dump(exclude=MOVED) == before.model_dump(exclude=MOVED)
    assert new.version == before.version + 1
    assert jobs.get(new.id) == new
    assert jobs.entries(new.id, JobSession.lines) == ["one", "two"]
    assert [each.id for each in jobs.list(owner="ada", tag="x", where={"labels": "l"}).sessions] == [new.id]
    assert (jobs.count(), jobs.count(status="deleted")) == (1, 1)
    assert raw.pttl(keys_of(jobs).lease(new.id)) > 0
    assert abs(raw.pttl(keys_of(jobs).log(new.id, "lines")) - raw.pttl(keys_of(jobs).session(new.id))) < 50
    assert not raw.exists(keys_of(jobs).lease(made.id), keys_of(jobs).log(made.id, "lines"))
    assert strays(redis_url) == []
    changed = jobs.update(new.id, version=new.version, note="x")
    assert jobs.append(new.id, JobSession.lines, "three") == 3
    assert jobs.increment(new.id, attempts=1) == {"attempts": 4}
    assert changed.version == new.version + 1


CALLS: dict[str, Callable[[Jobs, str], Any]] = {
    "get": lambda jobs, id_: jobs.get(id_),
    "update": lambda jobs, id_: jobs.update(id_, note="x"),
    "touch": lambda jobs, id_: jobs.touch(id_),
    "set_ttl": lambda jobs, id_: jobs.set_ttl(id_, 5),
    "increment": lambda jobs, id_: jobs.increment(id_, attempts=1),
    "append": lambda jobs, id_: jobs.append(id_, JobSession.lines, "x"),
    "entries": lambda jobs, id_: jobs.entries(id_, JobSession.lines),
    "complete": lambda jobs, id_: jobs.complete(id_),
    "delete": lambda jobs, id_: jobs.delete(id_),
    "rotate": lambda jobs, id_: jobs.rotate_id(id_),
    "issue": lambda jobs, id_: jobs.tokens.issue(id_),
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_old_id_is_no_session(jobs: Jobs, raw: Any, name: str) -> None:
    """Every call answers `SessionNotFound` for it, and changes nothing."""
    old = jobs.create().id
    new = jobs.rotate_id(old)
    before = snapshot(raw)
    with pytest.raises(SessionNotFound) as caught:
        CALLS[name](jobs, old)
    assert caught.value.session_id == old
    assert snapshot(raw) == before
    assert jobs.get(new.id) == new


def test_events_tell_both_ids(jobs: Jobs) -> None:
    """One for the old id, one for the new one, with actor and trace."""
    old = jobs.create().id
    new = jobs.acting(actor="ada", trace_id="t").rotate_id(old)
    one, other = jobs.peek_events(start="oldest").events[1:]
    assert (one.type, one.session_id, one.version) == ("rotated", old, 2)
    assert one.changes == {"status": "deleted", "end_reason": "rotated", "rotated_to": new.id}
    assert one.before is not None
    assert one.before["status"] == "pending"
    assert (other.type, other.session_id, other.version) == ("rotated", new.id, 2)
    assert other.changes == {"rotated_from": old}
    assert {each.actor for each in (one, other)} == {"ada"}


@pytest.mark.beyond_one_tenant
def test_what_is_left_of_the_old_id_goes(open_store: StoreOpener, raw: Any, redis_url: str) -> None:
    """By the usual ways: the sweep where nobody archives, else once it is archived; the new one stays whole."""
    jobs = open_store(JobSession, retention=0)
    keys = keys_of(jobs)
    made = [jobs.create(owner="ada", ttl=500) for _ in range(2)]
    for each in made:
        jobs.append(each.id, JobSession.lines, "a")
        raw.hset(keys.session(each.id), "_archived:lines", "1")
    new = [jobs.rotate_id(each.id) for each in made]
    for each in new:
        assert raw.hget(keys.session(each.id), "_archived:lines") is None
    # The old ids come to the archive first, so that it never holds both as live.
    in_line = raw.zrange(keys.partition.dirty, 0, -1)
    for old, fresh in zip(made, new, strict=True):
        assert in_line.index(keys.member(old.id)) < in_line.index(keys.member(fresh.id))
    record = raw.hgetall(keys.session(made[0].id))
    assert not {"_logs", "_archived:lines"} & record.keys()
    settled = expiry.settle(keys, made[0].id, record["version"], record["updated_at_ms"], {})
    assert run(raw, settled) == "removed"
    assert sweep(jobs, raw, archived=False) == (0, 1)
    assert strays(redis_url) == []
    assert jobs.get_many(each.id for each in new) == new
    for each in new:
        assert jobs.entries(each.id, JobSession.lines) == ["a"]
        jobs.complete(each.id)
    assert sweep(jobs, raw, archived=False) == (0, 2)
    assert rest(raw) == {"meta", "tenants", "kinds", "operations", "events"}


@pytest.mark.beyond_one_tenant
def test_refusals(open_store: StoreOpener, raw: Any) -> None:
    """What cannot be rotated is told, and left alone."""
    jobs, ranges = open_store(JobSession), open_store(RangeSession)
    live, ended, short = jobs.create(), jobs.create(), jobs.create(ttl=0.001)
    jobs.complete(ended.id)
    eventually(lambda: jobs.get_many([short.id]) == [None])
    before = snapshot(raw)
    calls: tuple[tuple[Callable[[], Any], type[Exception]], ...] = (
        (lambda: jobs.rotate_id(ended.id), SessionEnded), (lambda: jobs.rotate_id(short.id), SessionNotFound),
        (lambda: jobs.rotate_id(UNKNOWN_ID), SessionNotFound), (lambda: jobs.rotate_id("x"), InvalidId),
        (lambda: ranges.rotate_id(live.id), WrongKind), (lambda: jobs.rotate_id(live.id, version=0), InvalidField),
        (lambda: jobs.for_tenant("other").rotate_id(live.id), SessionNotFound),
    )  # fmt: skip
    for call, error in calls:
        with pytest.raises(error):
            call()
    with pytest.raises(VersionConflict) as caught:
        jobs.rotate_id(live.id, version=7)
    assert caught.value.current_version == 1
    assert snapshot(raw) == before
    assert jobs.rotate_id(live.id, version=1).version == 2


def test_a_full_server_rotates_nothing(jobs: Jobs, raw: Any) -> None:
    """Out of memory, the session keeps its id, its logs and its tokens."""
    made = jobs.create()
    jobs.append(made.id, JobSession.lines, "a")
    pair = jobs.tokens.issue(made.id)
    jobs.rotate_id(jobs.create().id)
    before = snapshot(raw)
    raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull):
            jobs.rotate_id(made.id)
    finally:
        raw.config_set("maxmemory", 0)
    assert snapshot(raw) == before
    assert jobs.tokens.verify(pair.access).id == made.id


def test_again_and_again(jobs: Jobs, redis_url: str) -> None:
    """A session may change its id as often as it likes."""
    session = jobs.create(owner="ada")
    jobs.append(session.id, JobSession.lines, "a")
    seen = {session.id}
    for number in range(20):
        session = jobs.rotate_id(session.id, version=number + 2)
        seen.add(session.id)
    assert (len(seen), session.version) == (21, 22)
    assert jobs.entries(session.id, JobSession.lines) == ["a"]
    assert jobs.count() == 1
    assert strays(redis_url) == []


def test_texts_that_follow_the_id(jobs: Jobs, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bound to the id is written anew, and against the version that it was read at."""
    made = jobs.create(note="old")
    tried: list[tuple[str, str]] = []

    def texts(_: Any, stored: Any, old_id: str, new_id: str) -> dict[str, str]:
        with SessionStore(model=JobSession, settings=Settings(redis_url=redis_url)) as other:
            if len(tried) < 2:
                other.update(made.id, note=f"newer {len(tried)}")
        tried.append((old_id, new_id))
        return {"note": f"{stored['note']}, then moved"}

    monkeypatch.setattr(rotation, "texts_under_new_id", texts)
    new = jobs.rotate_id(made.id)
    assert (new.note, new.version) == ("newer 1, then moved", 4)
    assert tried == [(made.id, new.id)] * 3
    assert jobs.get(new.id) == new
    with pytest.raises(VersionConflict):
        jobs.rotate_id(new.id, version=1)


# Lost replies and races


@pytest.mark.parametrize("lost", [1, 2])
def test_lost_replies(open_store: StoreOpener, redis_url: str, proxy_to: Any, lost: int) -> None:
    """Sent again it is still one rotation, and answers with what the first one made."""
    proxy: Proxy = proxy_to(redis_url)
    jobs = open_store(JobSession, url=proxy.url, socket_timeout=0.15)
    jobs.rotate_id(jobs.create().id)
    made = jobs.create()
    jobs.append(made.id, JobSession.lines, "a")
    events = len(jobs.peek_events(start="oldest").events)
    proxy.drop_replies(lost, to=b"EVALSHA")
    new = jobs.rotate_id(made.id)
    assert proxy.dropped == lost
    assert jobs.get(new.id) == new
    assert new.version == 3
    assert len(jobs.peek_events(start="oldest").events) == events + 2
    assert jobs.entries(new.id, JobSession.lines) == ["a"]
    assert strays(redis_url) == []


RACERS = 8


def rush(url: str, work: Callable[[Jobs, int], Any]) -> list[Any]:
    """Let racers work at once, each with a store of its own; return what each returned or raised."""
    barrier = threading.Barrier(RACERS)

    def one(number: int) -> Any:
        with SessionStore(model=JobSession, settings=Settings(redis_url=url)) as store:
            store.count()
            barrier.wait(30)
            try:
                return work(store, number)
            except (SessionNotFound, SessionEnded, VersionConflict) as error:
                return type(error)

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(one, range(RACERS)))


@pytest.mark.parametrize("version", [None, 1])
def test_one_of_many_rotations_wins(jobs: Jobs, redis_url: str, version: int | None) -> None:
    """However many rotate at once, there is one successor, and the others are told."""
    made = jobs.create()
    outcomes = rush(redis_url, lambda store, _: store.rotate_id(made.id, version=version))
    won = [each for each in outcomes if isinstance(each, JobSession)]
    assert len(won) == 1
    assert set(Tally(each for each in outcomes if each not in won)) <= {SessionNotFound, VersionConflict}
    assert (jobs.count(), jobs.get(won[0].id)) == (1, won[0])
    assert strays(redis_url) == []


def test_no_write_is_lost(jobs: Jobs, redis_url: str) -> None:
    """What was acknowledged under the old id before the rotation is in the record; after it nothing is accepted."""
    made = jobs.create()

    def work(store: Jobs, number: int) -> Any:
        if number == 0:
            eventually(lambda: store.get(made.id).attempts > 20)
            return store.rotate_id(made.id).id
        counted = 0
        try:
            while True:
                store.increment(made.id, attempts=1)
                store.append(made.id, JobSession.lines, f"{number}")
                counted += 1
                store.touch(made.id)
        except SessionNotFound:
            return counted

    new_id, *counts = rush(redis_url, work)
    after = jobs.get(new_id)
    lines = Tally(jobs.entries(new_id, JobSession.lines))
    # The last increment of each may have been made before, its append after the rotation.
    assert sum(counts) <= after.attempts <= sum(counts) + RACERS - 1
    assert [lines[str(number)] for number in range(1, RACERS)] == counts
    assert strays(redis_url) == []


@pytest.mark.parametrize("ending", ["complete", "delete", "expiry"])
def test_races_with_the_end(jobs: Jobs, raw: Any, redis_url: str, ending: str) -> None:
    """A session ends under its old id or lives on under the new one, and never both, nor neither."""
    for _ in range(6):
        made = jobs.create(ttl=500)

        def work(store: Jobs, number: int, made: JobSession = made) -> Any:
            if number % 2:
                return store.rotate_id(made.id).id
            if ending != "expiry":
                return getattr(store, ending)(made.id).status
            if number == 0:
                return store.set_ttl(made.id, 0.001).status
            return run(raw, expiry.claim_session(store._context, keys_of(store), made.id))

        outcomes = rush(redis_url, work)
        ids = [each for each in outcomes if isinstance(each, str) and len(each) == 36]
        ended = [each for each in outcomes if each in ("completed", "deleted", "expired")]
        if ending == "expiry":
            eventually(lambda: pending(jobs) in ([], [500]))
            assert len(ids) <= 1
        else:
            assert len(ids) + len(ended) == 1
        for each in ids:
            if jobs.get_many([each]) != [None]:
                jobs.complete(each)
        sweep(jobs, raw, archived=True)
        assert pending(jobs) == []
        assert strays(redis_url) == []


def pending(jobs: Jobs) -> list[float]:
    """Return the seconds that live sessions live."""
    found = jobs.list(status=["pending", "in_progress"]).sessions
    return [each.ttl.total_seconds() for each in found if each.ttl is not None]
