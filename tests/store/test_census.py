"""Nothing of a session stays behind when it goes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.census import strays
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, keys_of
from tests.waiting import eventually

from sojourn import SessionStore
from sojourn.events import ARCHIVE_GROUP
from sojourn.operations import expiry
from sojourn.operations.core import Operation
from sojourn.operations.strays import comb_flow
from sojourn_worker.redis_link import RedisLink

Jobs = SessionStore[JobSession]


def run(raw: Any, operation: Operation[Any]) -> Any:
    """Run a worker's operation over a plain client."""
    count, *arguments = operation.commands[-1][2:]
    return operation.parse([raw.eval(operation.source, count, *arguments)])


def sweep(store: Jobs, raw: Any, *, archived: bool, limit: int = 3) -> tuple[int, int]:
    """Claim and purge until there is no more; return how many expired and were removed."""
    expired = removed = 0
    while True:
        swept = run(raw, expiry.claim_due(store._context, keys_of(store).partition, limit, archived=archived))
        expired, removed = expired + swept.expired, removed + swept.removed
        if not swept.more:
            return expired, removed


def lead_full_lives(store: Jobs) -> list[JobSession]:
    """Make sessions that end in every way, with everything that a session can have."""
    made = store.create_many(
        [{"owner": f"o{number % 3}", "tags": ["x", f"t{number}"], "labels": ["l"]} for number in range(12)], ttl=500
    )
    for each in made:
        store.append(each.id, JobSession.lines, "a", "b")
        store.tokens.refresh(str(store.tokens.issue(each.id).refresh))
        store.update(each.id, owner="new", tags=["y"], status="in_progress", queue="mail", labels=())
    store.complete(made[0].id)
    store.fail(made[1].id, reason="x")
    store.terminate(made[2].id)
    store.delete(made[3].id)
    store.complete(made[4].id)
    store.delete(made[4].id)
    store.persist(made[5].id)
    store.delete(made[5].id)
    for each in made[6:]:
        store.set_ttl(each.id, 0.001)
    return made


def rest(raw: Any) -> set[str]:
    """Return the kinds of keys that are left, but for those that count what there was."""
    kinds = {key.split(":")[-1] if key.count(":") < 3 else key.split(":")[3] for key in raw.scan_iter(count=1000)}
    return kinds - {"stats", "/sweeps"}


@pytest.fixture
def store(open_store: StoreOpener) -> Jobs:
    """Give a store whose ended sessions go at once."""
    return open_store(JobSession, retention=0)


@pytest.mark.beyond_one_tenant
def test_nothing_is_left_without_an_archive(store: Jobs, raw: Any, redis_url: str) -> None:
    """Where nobody archives, the sweep removes ended sessions with all that is theirs."""
    made = lead_full_lives(store)
    assert strays(redis_url) == []
    eventually(lambda: all(each is None for each in store.get_many(one.id for one in made[6:])))
    assert sweep(store, raw, archived=False) == (6, 12)
    assert strays(redis_url) == []
    assert rest(raw) == {"meta", "tenants", "kinds", "operations", "events"}


@pytest.mark.beyond_one_tenant
def test_nothing_is_left_after_the_archive(store: Jobs, raw: Any, redis_url: str) -> None:
    """What the archive waits for stays; what is over goes at once when it is settled at its state."""
    made = lead_full_lives(store)
    eventually(lambda: all(each is None for each in store.get_many(one.id for one in made[6:])))
    keys = keys_of(store)
    assert sweep(store, raw, archived=True, limit=100) == (6, 0)
    assert strays(redis_url) == []
    assert raw.zcard(keys.partition.dirty) == raw.zcard(keys.partition.removals) == 12
    for each in made:
        record = raw.hgetall(keys.session(each.id))
        stale = expiry.settle(keys, each.id, "1", record["updated_at_ms"], {})
        assert run(raw, stale) == "changed"
        settled = expiry.settle(keys, each.id, record["version"], record["updated_at_ms"], {"lines": 2})
        assert run(raw, settled) == "removed"
    assert sweep(store, raw, archived=True) == (0, 0)
    assert strays(redis_url) == []
    assert rest(raw) == {"meta", "tenants", "kinds", "operations", "events"}
    assert run(raw, expiry.settle(keys, made[0].id, "1", "1", {})) == "gone"


@pytest.mark.beyond_one_tenant
def test_settling_removes_what_is_over(store: Jobs, raw: Any, redis_url: str) -> None:
    """An ended session whose retention is over goes with the settling."""
    made = store.create(tags=["x"])
    store.append(made.id, JobSession.lines, "a")
    ended = store.complete(made.id)
    keys = keys_of(store)
    record = raw.hgetall(keys.session(made.id))
    assert record["version"] == str(ended.version)
    assert run(raw, expiry.settle(keys, made.id, record["version"], record["updated_at_ms"], {"lines": 1})) == "removed"
    assert rest(raw) == {"meta", "tenants", "kinds", "operations", "events"}
    assert strays(redis_url) == []


def test_settled_live_session_stays(store: Jobs, raw: Any, redis_url: str) -> None:
    """A live session is only no longer dirty; its next change makes it so again."""
    made = store.create(ttl=500)
    keys = keys_of(store)
    record = raw.hgetall(keys.session(made.id))
    assert run(raw, expiry.settle(keys, made.id, record["version"], record["updated_at_ms"], {"lines": 0})) == "settled"
    assert raw.zcard(keys.partition.dirty) == 0
    assert store.get(made.id) == made
    eventually(lambda: raw.time()[0] * 1000 + raw.time()[1] // 1000 > int(record["accessed_at_ms"]))
    store.touch(made.id)  # within the same millisecond it would change nothing
    assert raw.zcard(keys.partition.dirty) == 1
    assert strays(redis_url) == []


@pytest.mark.beyond_one_tenant
def test_claims_are_told_apart(store: Jobs, raw: Any) -> None:
    """One session claimed by name: not yet due, due, done already, and unknown."""
    keys = keys_of(store)

    def claim(session_id: str) -> str:
        return str(run(raw, expiry.claim_session(store._context, keys, session_id)))

    made, short = store.create(ttl=500), store.create(ttl=0.001)
    assert claim(made.id) == "moved"
    assert store.get(made.id) == made
    eventually(lambda: store.get_many([short.id]) == [None])
    assert claim(short.id) == "expired"
    assert claim(short.id) == "ended"
    assert claim("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77") == "unknown"
    store.persist(made.id)
    assert claim(made.id) == "unknown"
    raw.set(keys.session("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"), "x")
    assert claim("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77") == "unknown"


def test_moved_index_is_repaired(store: Jobs, raw: Any, redis_url: str) -> None:
    """The hash tells the deadline; an index that says otherwise is put right, and nothing expires."""
    made = store.create(ttl=500)
    keys = keys_of(store)
    raw.zadd(keys.partition.deadlines, {keys.member(made.id): 1})
    assert sweep(store, raw, archived=False) == (0, 0)
    assert raw.zscore(keys.partition.deadlines, keys.member(made.id)) == float(
        raw.hget(keys.session(made.id), "expires_at_ms")
    )
    assert store.get(made.id) == made
    assert strays(redis_url) == []


def test_evicted_session_is_told_as_lost(store: Jobs, raw: Any, redis_url: str) -> None:
    """Where the hash is gone, the claim says so, and counts are right again."""
    made = store.create(ttl=0.001)
    keys = keys_of(store)
    raw.delete(keys.session(made.id))
    assert strays(redis_url) != []
    swept = run(raw, expiry.claim_due(store._context, keys.partition, 10, archived=True))
    assert (swept.expired, swept.lost) == (0, 1)
    assert store.count() == 0
    assert store.list(where={"queue": "default"}).sessions == ()
    assert [fields["type"] for _, fields in raw.xrange(keys.partition.events)] == ["created", "lost"]


@pytest.mark.parametrize(
    "plant",
    [
        lambda raw, keys: raw.set(keys.lease("00000000-0000-4000-8000-000000000000"), ""),
        lambda raw, keys: raw.rpush(keys.log("00000000-0000-4000-8000-000000000000", "x"), "x"),
        lambda raw, keys: raw.zadd(keys.index("owner", "ada"), {"00000000-0000-4000-8000-000000000000": 1}),
        lambda raw, keys: raw.zadd(keys.partition.deadlines, {keys.member("00000000-0000-4000-8000-000000000000"): 1}),
        lambda raw, keys: raw.zadd(keys.partition.dirty, {keys.member("00000000-0000-4000-8000-000000000000"): 1}),
        lambda raw, keys: raw.zadd(keys.partition.removals, {keys.member("00000000-0000-4000-8000-000000000000"): 1}),
        lambda raw, keys: raw.hset(keys.token("00000000-0000-4000-8000-000000000000"), "a" * 64, "access f 1 "),
        lambda raw, keys: raw.zadd(keys.tokens("00000000-0000-4000-8000-000000000000"), {"a" * 64: 1}),
        lambda raw, keys: raw.zadd(keys.families("00000000-0000-4000-8000-000000000000"), {"1:f": 1}),
    ],
    ids=["lease", "log", "index", "deadline", "dirty", "removal", "token", "tokens", "families"],
)
def test_census_sees_strays(store: Jobs, raw: Any, redis_url: str, plant: Any) -> None:
    """The count itself can count."""
    store.create(owner="ada", tags=["x"])
    assert strays(redis_url) == []
    plant(raw, keys_of(store))
    assert len(strays(redis_url)) == 1


def comb(store: Jobs) -> int:
    """Do what a worker does about lost sessions; return how many."""
    link = RedisLink(store.settings)
    try:
        return link.drive(comb_flow(store.settings.all_partitions))
    finally:
        link.close()


@pytest.mark.beyond_one_tenant
def test_lost_records_are_combed_out(jobs: Jobs, raw: Any, redis_url: str) -> None:
    """What a vanished hash leaves in indexes and logs goes too, and what belongs to others stays."""
    keys = keys_of(jobs)
    made = jobs.create_many([{"owner": "ada", "tags": ["x"], "labels": ["l"]} for _ in range(20)], ttl=500)
    for each in made:
        jobs.append(each.id, JobSession.lines, "a")
    kept = jobs.create(owner="ada", tags=["x"])
    jobs.append(kept.id, JobSession.lines, "b")
    for each in made:
        raw.delete(keys.session(each.id))
        raw.zadd(keys.partition.deadlines, {keys.member(each.id): 1})
    sweep(jobs, raw, archived=False)
    assert strays(redis_url)
    assert comb(jobs) == 20
    assert strays(redis_url) == []
    assert [each.id for each in jobs.list(owner="ada", tag="x").sessions] == [kept.id]
    assert jobs.entries(kept.id, JobSession.lines) == ["b"]
    assert comb(jobs) == 0


@pytest.mark.beyond_one_tenant
def test_a_damaged_record_is_combed_out_once_it_is_gone(jobs: Jobs, raw: Any, redis_url: str) -> None:
    """It is not listed or counted any more, but its hash stays for a person to look at; then all of it goes."""
    keys = keys_of(jobs)
    made = jobs.create(owner="ada", ttl=500)
    raw.hset(keys.session(made.id), "version", "x")
    raw.zadd(keys.partition.deadlines, {keys.member(made.id): 1})
    sweep(jobs, raw, archived=False)
    assert jobs.count() == 0
    assert comb(jobs) == 0
    assert raw.exists(keys.session(made.id))
    raw.delete(keys.session(made.id))
    raw.zrem(keys.partition.dirty, keys.member(made.id))
    assert comb(jobs) == 1
    assert strays(redis_url) == []


@pytest.mark.beyond_one_tenant
def test_an_archive_shows_by_its_group(jobs: Jobs, raw: Any) -> None:
    """A sweeper that was not told of the archive leaves it what it waits for."""
    keys = keys_of(jobs)
    made = jobs.create()
    jobs.complete(made.id)
    raw.zadd(keys.partition.removals, {keys.member(made.id): 1})
    raw.xgroup_create(keys.partition.events, ARCHIVE_GROUP, id="0")
    assert sweep(jobs, raw, archived=False) == (0, 0)
    assert raw.exists(keys.session(made.id))
    raw.zrem(keys.partition.dirty, keys.member(made.id))
    raw.zadd(keys.partition.removals, {keys.member(made.id): 1})
    assert sweep(jobs, raw, archived=False) == (0, 1)


@pytest.mark.beyond_one_tenant
@pytest.mark.parametrize("archived", [False, True])
def test_an_ended_record_that_is_gone_leaves_nothing(store: Jobs, raw: Any, redis_url: str, archived: bool) -> None:
    """One that other hands delete between its end and its removal: its other indexes and logs go as well."""
    made = store.create(owner="ada", ttl=500)
    store.append(made.id, JobSession.lines, "a")
    store.complete(made.id)
    keys = keys_of(store)
    raw.delete(keys.session(made.id))
    raw.zadd(keys.partition.removals, {keys.member(made.id): 1})
    link = RedisLink(store.settings)
    swept = link.run(expiry.claim_due(store._context, keys.partition, 10, archived=archived))
    assert swept.removed == 1
    assert link.drive(comb_flow([keys.partition])) == 1
    link.close()
    assert strays(redis_url) == []
    lost = [fields["id"] for _, fields in raw.xrange(keys.partition.events) if fields["type"] == "lost"]
    assert lost == [made.id] * archived
