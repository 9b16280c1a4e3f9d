"""A tenant's limits: how many sessions live, of how many bytes, and how often calls are made. They hold exactly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from tests.census import strays
from tests.conftest import OwnRedis
from tests.drivers import StoreOpener, snapshot
from tests.store import racers
from tests.store.examples import JobSession
from tests.store.test_races import WRITERS, run_writers
from tests.waiting import eventually

from sojourn import (
    InvalidField,
    InvalidInput,
    LimitExceeded,
    McpSession,
    Rate,
    RateLimited,
    SessionEnded,
    SessionStore,
    Settings,
    Status,
    StoreError,
    TenantLimits,
    VersionConflict,
)
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.expiry import claim_due

T = TypeVar("T")
Store = SessionStore[Any]
KEYS = TenantKeys("default", PartitionKeys(100)) if StoreOpener.confined else TenantKeys.of("default", 64)


@pytest.fixture
def store(open_store: StoreOpener) -> Store:
    """Give a store."""
    return open_store()


def places(raw: Any) -> tuple[int, int, int]:
    """Return how many live sessions are counted, of how many owners' sets, and their bytes."""
    owners = list(raw.scan_iter(match=f"{KEYS.live}:*", count=1000))
    held = raw.hgetall(KEYS.places)
    total = int(held.pop("/bytes", 0))
    assert sum(int(each.split("/")[0]) for each in held.values()) == total
    assert sorted(held) == sorted(raw.zrange(KEYS.live, 0, -1))
    return raw.zcard(KEYS.live), sum(raw.zcard(each) for each in owners), total


@pytest.mark.beyond_one_tenant
def test_no_limits_cost_no_keys(store: Store, raw: Any) -> None:
    """A tenant without limits has no keys for them."""
    store.create(owner="ada")
    assert store.tenant_limits() == TenantLimits()
    assert store.usage().sessions is None
    assert raw.exists(KEYS.live, KEYS.places, KEYS.limits) == 0


def test_too_many_sessions(store: Store, raw: Any) -> None:
    """One more than the limit is refused, with the limit and the count, and leaves no trace but one event."""
    store.set_tenant_limits(sessions=3)
    sessions = [store.create(owner="ada") for _ in range(3)]
    before = snapshot(raw)
    with pytest.raises(LimitExceeded, match="3 of 3") as refused:
        store.create(owner="ada")
    assert (refused.value.limit, refused.value.bound, refused.value.count) == ("sessions", 3, 3)
    assert refused.value.tenant == "default"
    assert {key for key, value in snapshot(raw).items() if before.get(key) != value} == {
        KEYS.partition.events, KEYS.told("sessions"),
    }  # fmt: skip
    with pytest.raises(LimitExceeded):
        store.create()
    told = [event for event in store.peek_events().events if event.type == "limited"]
    assert [(each.session_id, dict(each.changes)) for each in told] == [
        ("", {"limit": "sessions", "bound": 3, "count": 3})
    ]
    store.complete(sessions[0].id)
    assert store.create(owner="grace").is_live
    assert store.usage().sessions == 3


def test_too_many_of_one_owner(store: Store, raw: Any) -> None:
    """An owner's limit is each owner's own; sessions without an owner are nobody's."""
    store.set_tenant_limits(owner_sessions=2)
    mine = [store.create(owner="ada") for _ in range(2)]
    with pytest.raises(LimitExceeded) as refused:
        store.create(owner="ada")
    assert (refused.value.limit, refused.value.bound, refused.value.count) == ("owner_sessions", 2, 2)
    others = [store.create(owner="grace"), *(store.create() for _ in range(4))]
    with pytest.raises(LimitExceeded):
        store.update(others[1].id, owner="ada")
    store.update(mine[0].id, owner="grace")
    store.update(mine[1].id, tags=["kept"])
    store.create(owner="ada")
    assert store.usage(owner="ada").sessions == store.usage(owner="grace").sessions == 2
    with pytest.raises(LimitExceeded):
        store.update(mine[1].id, owner="grace")
    assert store.get(mine[1].id).owner == "ada"
    store.update(mine[1].id, owner=None)
    assert places(raw)[:2] == (8, 3)


def test_owner_changes_within_the_tenants_limit(store: Store) -> None:
    """A session that goes to another owner takes no second place of the tenant's."""
    store.set_tenant_limits(sessions=1, owner_sessions=1)
    only = store.create(owner="ada")
    assert store.update(only.id, owner="grace").owner == "grace"
    assert (store.usage(owner="ada").sessions, store.usage(owner="grace").sessions) == (0, 1)


@pytest.mark.parametrize("ending", ["complete", "fail", "terminate", "delete", "expiry", "lost", "evicted record"])
def test_a_place_is_given_back(store: Store, raw: Any, ending: str, open_store: StoreOpener) -> None:
    """However a session goes, its place, its owner's place and its bytes are free again."""
    store.set_tenant_limits(sessions=1, owner_sessions=1, bytes=10_000)
    first = store.create(owner="ada", metadata={"a": "b" * 100}, ttl=0.05 if ending == "expiry" else 60)
    if ending in ("complete", "fail", "terminate", "delete"):
        getattr(store, ending)(first.id)
    elif ending == "expiry":
        eventually(lambda: store.get_many([first.id]) == [None])
    else:
        raw.delete(KEYS.session(first.id))
        raw.zadd(KEYS.partition.deadlines, {KEYS.member(first.id): 1})
    assert store.create(owner="ada").is_live
    assert places(raw) == (1, 1, len("ownerada") + len("tags[]") + len("metadata{}"))


@pytest.mark.beyond_one_tenant
def test_expiry_gives_the_place_back_where_much_is_due(store: Store, open_store: StoreOpener, raw: Any) -> None:
    """With far more due sessions of a neighbour than one call may claim, a place that is due is still found."""
    neighbour = open_store(tenant=_neighbour()).for_tenant(_neighbour())
    neighbour.create_many([{}] * 500, ttl=0.05)
    store.set_tenant_limits(sessions=2)
    last = store.create_many([{}] * 2, ttl=0.2)[-1]
    eventually(lambda: store.get_many([last.id]) == [None])
    assert store.create().is_live
    assert raw.zcount(KEYS.partition.deadlines, "-inf", time.time() * 1000) == 0


def _neighbour() -> str:
    """Return a tenant that shares the partition of `default`."""
    return next(
        name
        for name in (f"n{number}" for number in range(10_000))
        if TenantKeys.of(name, 64).partition == KEYS.partition
    )


def test_least_recently_used_go_first(store: Store) -> None:
    """With `evict_lru` those used longest ago end as `evicted`; touched and written ones stay."""
    store.set_tenant_limits(sessions=4, policy="evict_lru")
    first, second, third, fourth = (_later(lambda: store.create(owner="ada")) for _ in range(4))
    _later(lambda: store.touch(first.id))
    _later(lambda: store.update(second.id, tags=["used"]))
    _later(lambda: store.create(owner="grace"))
    gone = store.get(third.id)
    assert (gone.status, gone.end_reason, gone.version) == (Status.TERMINATED, "evicted", 2)
    assert gone.ended_at is not None
    _later(lambda: store.create(owner="grace"))
    assert store.get(fourth.id).end_reason == "evicted"
    assert [store.get(each.id).is_live for each in (first, second)] == [True, True]
    ended = [each for each in store.peek_events().events if each.type == "ended"]
    assert [(each.session_id, each.changes["end_reason"]) for each in ended] == [
        (third.id, "evicted"), (fourth.id, "evicted"),
    ]  # fmt: skip
    with pytest.raises(SessionEnded):
        store.touch(third.id)


def _later(call: Callable[[], T]) -> T:
    """Do something at least a millisecond after what came before, since last uses are told in milliseconds."""
    time.sleep(0.003)
    return call()


def test_an_owner_evicts_its_own(store: Store) -> None:
    """At an owner's limit it is that owner's least recently used session that goes, not an older one of others."""
    store.set_tenant_limits(owner_sessions=1, sessions=10, policy="evict_lru")
    others = _later(lambda: store.create(owner="grace"))
    mine = _later(lambda: store.create(owner="ada"))
    new = store.create(owner="ada")
    assert store.get(mine.id).end_reason == "evicted"
    assert store.get(others.id).is_live
    assert store.usage(owner="ada").sessions == 1
    moved = store.update(others.id, owner="ada")
    assert moved.owner == "ada"
    assert store.get(new.id).end_reason == "evicted"


def test_bytes(store: Store, raw: Any) -> None:
    """The bytes of live records and of their logs are bounded; what would exceed them is refused whole."""
    jobs: Store = store
    jobs.set_tenant_limits(bytes=2_000)
    first = jobs.create(metadata={"a": "x" * 500})
    size = jobs.usage().bytes
    assert size is not None
    assert 500 < size < 600
    with pytest.raises(LimitExceeded) as refused:
        jobs.create(metadata={"a": "x" * 1_500})
    assert (refused.value.limit, refused.value.bound, refused.value.count) == ("bytes", 2_000, size)
    second = jobs.create(metadata={"b": "y" * 1_000})
    held = snapshot(raw)
    with pytest.raises(LimitExceeded):
        jobs.update(first.id, metadata={"a": "x" * 2_000})
    changed = {key for key, value in snapshot(raw).items() if held.get(key) != value}
    assert changed <= {KEYS.partition.events, KEYS.told("bytes"), KEYS.live}
    assert jobs.get(first.id).version == 1
    smaller = jobs.update(first.id, metadata={"a": "x"})
    assert smaller.version == 2
    jobs.update(first.id, metadata={"a": "x" * 400})
    jobs.delete(second.id)
    jobs.update(first.id, metadata={"a": "x" * 1_500}, owner="ada")
    assert places(raw)[2] == jobs.usage().bytes == len('tags[]metadata{"a":""}ownerada') + 1_500


def test_bytes_of_logs_and_counters(open_store: StoreOpener, raw: Any) -> None:
    """What is appended counts, and is refused where it is too much; what a counter takes is kept exactly."""
    store = open_store(JobSession)
    store.set_tenant_limits(bytes=1_500)
    session = store.create()
    begin = store.usage().bytes or 0
    store.append(session.id, JobSession.lines, "a" * 98)
    assert (store.usage().bytes or 0) - begin == 100
    with pytest.raises(LimitExceeded):
        store.append(session.id, JobSession.lines, "a" * 2_000)
    assert store.entries(session.id, JobSession.lines) == ["a" * 98]
    store.increment(session.id, attempts=1_000)
    assert (store.usage().bytes or 0) - begin == 103
    store.increment(session.id, attempts=-999)
    assert (store.usage().bytes or 0) - begin == 100
    store.complete(session.id)
    assert places(raw) == (0, 0, 0)


def test_bytes_evict(store: Store) -> None:
    """With `evict_lru` old sessions go for a larger one, never the one that grows; what alone is too much is not."""
    store.set_tenant_limits(bytes=4_000, policy="evict_lru")
    small = [_later(lambda: store.create(metadata={"a": "x" * 150})) for _ in range(15)]
    big = store.create(metadata={"a": "x" * 2_000})
    assert 0 < (store.usage().bytes or 0) <= 4_000
    alive = [each.id for each in small if store.get(each.id).is_live]
    assert alive == [each.id for each in small[-len(alive) :]]
    grown = store.update(alive[0] if alive else big.id, metadata={"a": "x" * 3_500})
    assert grown.is_live
    with pytest.raises(LimitExceeded):
        store.create(metadata={"a": "x" * 5_000})
    with pytest.raises(LimitExceeded):
        store.update(grown.id, metadata={"a": "x" * 5_000})
    assert store.get(grown.id).is_live


def test_limits_on_sessions_that_are_there(store: Store, raw: Any) -> None:
    """Sessions from before count as soon as the limit is set; what is over it stays, and nothing is added."""
    made = store.create_many([{"owner": "ada", "metadata": {"n": number}} for number in range(250)])
    store.update(made[0].id, status="in_progress")
    store.complete(made[1].id)
    limits = store.set_tenant_limits(sessions=200, owner_sessions=300)
    assert (limits.sessions, limits.owner_sessions) == (200, 300)
    assert places(raw)[:2] == (249, 249)
    with pytest.raises(LimitExceeded, match="249 of 200"):
        store.create()
    for each in made[2:53]:
        store.complete(each.id)
    store.create()
    assert store.usage().sessions == 199
    size = store.usage().bytes
    store.set_tenant_limits(sessions=None)
    assert store.tenant_limits() == TenantLimits(owner_sessions=300)
    assert store.usage().bytes == size


def test_batches_stop_at_the_limit(store: Store) -> None:
    """`create_many` creates what there is room for, and its error has those; `update_many` tells each its own."""
    store.set_tenant_limits(sessions=5, bytes=3_000)
    with pytest.raises(LimitExceeded) as refused:
        store.create_many([{} for _ in range(8)])
    created = refused.value.created
    assert len(created) == store.usage().sessions == 5
    one, two = store.update_many(
        {created[0].id: {"metadata": {"a": "x" * 4_000}}, created[1].id: {"metadata": {"a": "x"}}}
    )
    assert isinstance(one, LimitExceeded)
    assert two.version == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("policy", ["reject", "evict_lru"])
def test_a_hundred_clients_at_once(login_url: str, policy: str, redis_url: str, raw: Any) -> None:
    """However many create, end, touch and write at once, there is never one too many."""
    settings = Settings(redis_url=login_url)
    with SessionStore(redis_url) as setter:
        setter.set_tenant_limits(sessions=37, owner_sessions=11, bytes=20_000, policy=policy)
    start = threading.Barrier(101)
    done = threading.Event()
    counts: list[int] = []
    made: list[str] = []
    refused: list[LimitExceeded] = []

    def client(number: int) -> None:
        with SessionStore(settings=settings) as own:
            start.wait()
            for turn in range(4):
                try:
                    session = own.create(owner=f"o{number % 9}", metadata={"fill": "x" * (number * 7 % 500)})
                    made.append(session.id)
                    if turn % 2:
                        own.touch(session.id)
                        own.update(session.id, owner=f"o{(number + turn) % 9}")
                    if turn == 3:
                        own.complete(session.id)
                except LimitExceeded as error:
                    refused.append(error)
                except SessionEnded:
                    assert policy == "evict_lru"

    def watch() -> None:
        start.wait()
        while not done.is_set():
            owners = list(raw.scan_iter(match=f"{KEYS.live}:*", count=1000))
            pipe = raw.pipeline()
            for key in (KEYS.live, *owners):
                pipe.zcard(key)
            pipe.hget(KEYS.places, "/bytes")
            live, *each, size = pipe.execute()
            counts.append(live)
            assert live <= 37
            assert not [one for one in each if one > 11]
            assert int(size or 0) <= 20_000

    threads = [threading.Thread(target=client, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in threads:
        thread.join()
    done.set()
    watcher.join()
    live = [each for each in made if raw.hget(KEYS.session(each), "status") in ("pending", "in_progress")]
    assert places(raw)[0] == len(live) <= 37
    assert max(counts, default=0) > 5
    assert bool(refused) == (policy == "reject") or policy == "evict_lru"
    assert strays(redis_url) == []


@pytest.mark.parametrize("policy", ["reject", "evict_lru"])
def test_a_hundred_clients_of_many_processes(login_url: str, redis_url: str, raw: Any, policy: str) -> None:
    """Sixteen processes with seven clients each create at once: to the limit, never one over it, and none is lost."""
    clients, turns, bound = WRITERS * racers.CLIENTS, 4, 37
    with SessionStore(redis_url, model=JobSession) as setter:
        setter.set_tenant_limits(sessions=bound, policy=policy)
        over, counts = threading.Event(), []

        def watch() -> None:
            while not over.is_set():
                counts.append(raw.zcard(KEYS.live))

        watcher = threading.Thread(target=watch)
        watcher.start()
        found = run_writers(racers.create_at_once, login_url, turns)
        over.set()
        watcher.join()
        made, refused = (sum(each[column] for each in found) for column in (1, 2))
        assert max(counts) == bound
        assert (places(raw)[0], setter.count(status="pending")) == (bound, bound)
        assert made == (bound if policy == "reject" else clients * turns)
        assert refused == clients * turns - made
        assert setter.count(status="terminated") == made - bound
        assert strays(redis_url) == []


def test_rate_of_creates(store: Store) -> None:
    """A burst is let through, then one at a time; `retry_after` tells when, and is right."""
    store.set_tenant_limits(creates=Rate(per_second=5, burst=3))
    began = time.monotonic()
    for _ in range(3):
        store.create()
    with pytest.raises(RateLimited) as refused:
        store.create()
    assert refused.value.limit == "creates"
    assert 0 < refused.value.retry_after <= 0.2
    time.sleep(refused.value.retry_after)
    store.create()
    allowed = 4
    while time.monotonic() - began < 1.2:
        try:
            store.create()
            allowed += 1
        except RateLimited as error:
            time.sleep(min(error.retry_after, 0.02))
    assert allowed <= 3 + 5 * (time.monotonic() - began)
    assert [event.changes["limit"] for event in store.peek_events().events if event.type == "limited"] == ["creates"]


def test_rate_of_one_owners_creates(store: Store) -> None:
    """Each owner has a bucket of its own; sessions without an owner draw from none."""
    store.set_tenant_limits(owner_creates="1/m:2")
    for owner in ("ada", "ada", "grace", "grace", None, None, None):
        store.create(owner=owner)
    for owner in ("ada", "grace"):
        with pytest.raises(RateLimited) as refused:
            store.create(owner=owner)
        assert refused.value.limit == "owner_creates"
        assert 55 < refused.value.retry_after <= 60


CALLS: dict[str, Callable[[Store, str], Any]] = {
    "get": lambda store, one: store.get(one),
    "get_many": lambda store, one: store.get_many([one]),
    "update": lambda store, one: store.update(one, tags=["a"]),
    "touch": lambda store, one: store.touch(one),
    "set_ttl": lambda store, one: store.set_ttl(one, 60),
    "increment": lambda store, one: store.increment(one, attempts=1),
    "append": lambda store, one: store.append(one, JobSession.lines, "a"),
    "entries": lambda store, one: store.entries(one, JobSession.lines),
    "complete": lambda store, one: store.complete(one),
    "delete": lambda store, one: store.delete(one),
    "list": lambda store, one: store.list(),
    "count": lambda store, one: store.count(owner="ada"),
    "create": lambda store, one: store.create(owner="grace"),
    "create_many": lambda store, one: store.create_many([{}]),
    "update_many": lambda store, one: raised(store.update_many({one: {"tags": ["a"]}})),
    "mutate": lambda store, one: store.mutate(one, lambda _: {"tags": ["a"]}),
    "persist": lambda store, one: store.persist(one),
    "rotate_id": lambda store, one: store.rotate_id(store.rotate_id(one).id),
    "tokens.issue": lambda store, one: store.tokens.issue(one),
    "tokens.list": lambda store, one: store.tokens.list(one),
}


def raised(found: list[Any]) -> None:
    """Raise what became of a session in a batch."""
    if isinstance(found[0], Exception):
        raise found[0]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("sliding", [False, True])
def test_rate_of_operations(open_any_store: StoreOpener, name: str, sliding: bool) -> None:
    """Every call draws from the tenant's bucket; one that is refused changes nothing."""
    store = open_any_store(JobSession, sliding=sliding)
    session = store.create(owner="ada")
    store.set_tenant_limits(operations="1/h:1")
    state = store._shared.paces if hasattr(store, "_shared") else None
    _forget_pace(store, state)
    CALLS["get"](store, session.id)  # what tells a client that reads count
    with pytest.raises(RateLimited) as refused:
        _until_refused(lambda: CALLS[name](store, session.id))
    assert refused.value.limit == "operations"
    assert refused.value.retry_after > 3_000
    store.set_tenant_limits(operations=None)
    found = store.get_many([session.id])[0]
    assert found is None or found.version <= 2
    assert found is not None or name in ("delete", "rotate_id")


@pytest.mark.parametrize("sliding", [False, True])
def test_rate_of_calls_with_tokens(open_any_store: StoreOpener, sliding: bool) -> None:
    """Presenting one is a call; revoking is always let through."""
    store = open_any_store(JobSession, sliding=sliding)
    session = store.create(owner="ada")
    pair = store.tokens.issue(session.id)
    store.set_tenant_limits(operations="1/h:1")
    _forget_pace(store, store._shared.paces if hasattr(store, "_shared") else None)
    with pytest.raises(RateLimited):
        _until_refused(lambda: _until_refused(lambda: store.tokens.verify(pair.access)))
    for call in (lambda: store.tokens.verify(pair.access), lambda: store.tokens.refresh(str(pair.refresh))):
        with pytest.raises(RateLimited):
            call()
    assert store.tokens.revoke(pair.access) == 2
    assert store.tokens.revoke_session(session.id) == 0
    assert store.peek_events(limit=1).events


def test_rate_of_executions(open_any_store: StoreOpener) -> None:
    """Each call of an MCP server is one, however many executions it records."""
    store = open_any_store(McpSession)
    session = store.create(owner="ada")
    store.set_tenant_limits(owner_operations="1/h:1")
    store.mcp.record_tool_executions(session.id, [{"tool": "t", "duration": 1}] * 9)
    for call in (
        lambda: store.mcp.record_tool_execution(session.id, tool="t", duration=1),
        lambda: store.mcp.executions(session.id),
        lambda: store.mcp.metrics(session.id),
        lambda: store.mcp.terminate(session.id),
    ):
        with pytest.raises(RateLimited):
            call()
    store.set_tenant_limits(owner_operations=None)
    assert store.mcp.metrics(session.id).total == 9


def _forget_pace(store: Any, paces: Any) -> None:
    (paces if paces is not None else store._store._shared.paces).clear()


def _until_refused(call: Callable[[], Any]) -> None:
    """Make a call twice: one token may be there still, for the first read only asks whether reads count."""
    call()
    call()


def test_rate_of_one_owners_operations(open_store: StoreOpener) -> None:
    """Calls on one owner's sessions draw from that owner's bucket, reads too."""
    store = open_store(JobSession)
    mine, other = store.create(owner="ada"), store.create(owner="grace")
    store.set_tenant_limits(owner_operations="1/h:5")
    store.get(mine.id)
    with pytest.raises(RateLimited) as refused:  # noqa: PT012 (any of them)
        for _ in range(10):
            store.get(mine.id)
            store.touch(mine.id)
    assert refused.value.limit == "owner_operations"
    assert store.get(other.id).owner == "grace"
    assert store.touch(other.id) is not None
    with pytest.raises(RateLimited):
        store.update(mine.id, tags=["x"])


def test_clients_learn_of_a_rate(open_store: StoreOpener) -> None:
    """A client that has read before counts its reads within about a second of the rate being set."""
    reader, other = open_store(), open_store()
    session = reader.create()
    reader.get(session.id)
    other.set_tenant_limits(operations="1/h:1")

    def refused() -> bool:
        try:
            reader.get(session.id)
        except RateLimited:
            return True
        return False

    began = time.monotonic()
    eventually(refused)
    assert time.monotonic() - began < 3


def test_a_refused_call_draws_from_no_bucket(store: Store, raw: Any) -> None:
    """Of several buckets either all or none give a token."""
    store.set_tenant_limits(creates="1/h:5", owner_creates="1/h:1")
    store.create(owner="ada")
    left = raw.get(KEYS.rate("creates"))
    for _ in range(3):
        with pytest.raises(RateLimited):
            store.create(owner="ada")
    assert raw.get(KEYS.rate("creates")) == left
    for _ in range(4):
        store.create(owner=None)
    with pytest.raises(RateLimited):
        store.create(owner=None)


def test_a_clock_that_went_back(store: Store, raw: Any) -> None:
    """A bucket from the future is at most empty."""
    store.set_tenant_limits(creates="10/s:1")
    raw.set(KEYS.rate("creates"), str(time.time() * 1000 + 3_600_000))
    with pytest.raises(RateLimited) as refused:
        store.create()
    assert refused.value.retry_after <= 0.2


def test_buckets_go_when_they_are_full(store: Store, raw: Any) -> None:
    """No key of a rate outlives the time for which it says anything."""
    store.set_tenant_limits(creates="20/s:2", owner_creates="20/s", operations="20/s")
    store.create(owner="ada")
    assert len(list(raw.scan_iter(match=KEYS.rate("*"), count=1000))) == 3
    eventually(lambda: not list(raw.scan_iter(match=KEYS.rate("*"), count=1000)))


def test_restore_needs_a_place(store: Store) -> None:
    """What comes back to life counts again: see the tests of the archive for the rest."""
    assert store.set_tenant_limits(sessions=0).sessions == 0
    with pytest.raises(LimitExceeded, match="0 of 0"):
        store.create()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sessions": -1}, {"sessions": 1.5}, {"sessions": True}, {"sessions": "5"}, {"sessions": 2**53},
        {"policy": "hope"}, {"creates": "often"}, {"creates": "0/s"}, {"creates": {"per_second": float("nan")}},
        {"creates": {"per_second": float("inf")}}, {"creates": "1/s:99999999"}, {"operations": 5}, {"seats": 3},
        {"bytes": float("nan")}, {"owner_creates": "1/s:1:1"}, {"creates": "1" * 500 + "/s"},
    ],
)  # fmt: skip
def test_limits_that_are_none(store: Store, raw: Any, wrong: dict[str, Any]) -> None:
    """A limit that does not exist, or cannot have that value, is refused, and nothing is changed."""
    before = snapshot(raw)
    with pytest.raises(InvalidField):
        store.set_tenant_limits(**wrong)
    assert {key for key in snapshot(raw) if key not in before} <= {"sojourn:meta"}
    with pytest.raises(InvalidInput):
        store.set_tenant_limits()


def test_rates_as_text() -> None:
    """Rates are written per second, minute, hour or day, with a burst or without."""
    assert Rate.parse("600/m:50") == Rate(per_second=10, burst=50)
    assert Rate.parse(" 2.5/s ") == Rate(per_second=2.5, burst=3)
    assert Rate.parse("1/d").burst == 1
    assert str(Rate.parse("10/s")) == "10/s:10"
    assert Rate.parse(str(Rate(per_second=1 / 3, burst=7))).burst == 7


@pytest.mark.beyond_one_tenant
def test_limits_of_new_tenants(open_store: StoreOpener) -> None:
    """The settings' limits are those of tenants that begin; one that is there keeps its own."""
    old = open_store()
    old.create()
    given = TenantLimits(sessions=2, creates="100/s")
    fresh = open_store(tenant_limits=given, tenant="fresh")
    fresh.create_many([{}, {}])
    with pytest.raises(LimitExceeded):
        fresh.create()
    assert fresh.tenant_limits() == given
    later = fresh.for_tenant("later")
    assert later.tenant_limits() == given
    assert open_store(tenant_limits=given).tenant_limits() == TenantLimits()
    later.set_tenant_limits(sessions=None)
    assert open_store(tenant_limits=given, tenant="later").tenant_limits() == TenantLimits(creates="100/s")


def test_setting_limits_is_told(open_store: StoreOpener) -> None:
    """Who sets limits is told, with what was set."""
    store = open_store(actor="root", trace_id="t1")
    store.set_tenant_limits(sessions=5, policy="evict_lru")
    event = store.peek_events().events[-1]
    assert (event.type, event.actor, event.trace_id, event.session_id) == ("administered", "root", "t1", "")
    assert dict(event.changes) == {"action": "tenant.limits", "sessions": "5", "policy": "evict_lru"}


def test_odd_limits_in_redis(store: Store, raw: Any) -> None:
    """What other hands wrote into the hash that is no limit limits nothing, and breaks nothing."""
    raw.hset(KEYS.limits, mapping={"sessions": "many", "creates": "x", "policy": "?", "bytes": "1e3", "places": "kept"})
    session = store.create(owner="ada")
    store.touch(session.id)
    assert store.tenant_limits() == TenantLimits()


def test_conflicts_and_limits(store: Store) -> None:
    """A write that fails for another reason is told that reason, and takes no place."""
    store.set_tenant_limits(sessions=1, bytes=1_000, owner_sessions=1)
    session = store.create(owner="ada")
    with pytest.raises(VersionConflict):
        store.update(session.id, version=9, metadata={"a": "x" * 5_000})
    assert store.usage().sessions == 1


def test_lifetimes_keep_places(store: Store, raw: Any) -> None:
    """Another TTL, no TTL, sliding and renewed touches leave one place for one session."""
    store.set_tenant_limits(sessions=2)
    session = store.create(owner="ada", ttl=60)
    store.set_ttl(session.id, 30)
    store.persist(session.id)
    store.touch(session.id)
    assert places(raw)[:2] == (1, 1)
    used = raw.zscore(KEYS.live, session.id)
    assert abs(datetime.fromtimestamp(used / 1000, UTC) - datetime.now(UTC)) < timedelta(minutes=1)


def test_sweeps_free_places(open_any_store: StoreOpener, raw: Any, any_redis_url: str) -> None:
    """A worker's sweep gives back the places of what it claims."""
    store = open_any_store()
    store.set_tenant_limits(sessions=50, bytes=100_000)
    made = store.create_many([{"owner": f"o{number % 3}"} for number in range(50)], ttl=0.05)
    eventually(lambda: store.get_many([made[-1].id]) == [None])
    with SessionStore(settings=Settings(redis_url=any_redis_url)) as plain:
        while plain._run(lambda: claim_due(plain._context, KEYS.partition, 100, archived=False)).more:
            pass
        assert plain.usage() == plain.usage().__class__(0, 0, plain.tenant_limits())


def test_a_crash_of_redis(own_redis: OwnRedis) -> None:
    """Killed under load, Redis comes back with as many places taken, and as many bytes, as it has live sessions."""
    server = own_redis({"appendonly": "yes", "appendfsync": "everysec"})
    settings = Settings(redis_url=server.url, socket_timeout=0.5, retries=1)
    with SessionStore(settings=settings) as store:
        store.set_tenant_limits(sessions=40, owner_sessions=15, bytes=50_000, policy="evict_lru")
        stop = threading.Event()

        def load(number: int) -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                try:
                    made = store.create(owner=f"o{(number + turn) % 4}", metadata={"fill": "x" * (turn * 37 % 900)})
                    store.update(made.id, tags=[f"t{turn % 7}"])
                    if turn % 3 == 0:
                        store.complete(made.id)
                except (SessionEnded, StoreError):
                    continue  # evicted; or Redis is away

        threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: store.usage().sessions == 40)
        server.kill()
        server.restart()
        eventually(lambda: _answers(store))
        stop.set()
        for thread in threads:
            thread.join()
        assert 0 < (store.usage().sessions or 0) <= 40
        assert strays(server.url) == []
        assert store.create(owner="ada").is_live


def _answers(store: Store) -> bool:
    try:
        return store.usage().sessions is not None
    except StoreError:
        return False
