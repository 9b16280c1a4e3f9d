"""A store with a near cache: what it answers with, and when it asks Redis."""

from __future__ import annotations

import inspect
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest
from tests.store.cache.conftest import UNKNOWN, deaf, info, is_held, tracking, warm
from tests.store.examples import JobSession
from tests.waiting import eventually

from sojourn import (
    Cache,
    InvalidId,
    InvalidInput,
    Rate,
    RateLimited,
    SessionCorrupt,
    SessionNotFound,
    SessionStore,
    VersionConflict,
    WrongOwner,
)
from sojourn.telemetry import Observer

Store = SessionStore[JobSession]
Open = Callable[..., Store]


def test_a_second_read_asks_nobody(cached: Store, admin: Any) -> None:
    """It is the same object, and Redis was told nothing."""
    made = cached.create(owner="ada", metadata={"a": [1]})
    first, hits = warm(cached, made.id), info(cached).hits
    before = admin.info("commandstats")["cmdstat_hgetall"]["calls"]
    assert all(cached.get(made.id) is first for _ in range(100))
    assert admin.info("commandstats")["cmdstat_hgetall"]["calls"] == before
    assert first == made
    assert info(cached).hits == hits + 100
    assert info(cached).sessions == 1
    assert 0 < info(cached).bytes < 2_000


def test_a_store_without_one() -> None:
    """Has none, and tells so; what is none is refused."""
    with SessionStore("redis://127.0.0.1:1/0") as store:
        assert store.cache is None
    with pytest.raises(InvalidInput, match="not dict"):
        SessionStore("redis://127.0.0.1:1/0", cache={})  # type: ignore[call-overload]


def test_what_others_change_is_seen(cached: Store, other: Store) -> None:
    """Updates, ends, deletions, a touch, appended entries; soon after they were acknowledged."""
    made = cached.create(ttl=60)
    for change, seen in (
        (lambda: other.update(made.id, note="x"), lambda: cached.get(made.id).note == "x"),
        (lambda: other.increment(made.id, attempts=2), lambda: cached.get(made.id).attempts == 2),
        (lambda: other.append(made.id, JobSession.lines, "x"), lambda: cached.get(made.id).version == 4),
        (lambda: other.set_ttl(made.id, 90), lambda: cached.get(made.id).ttl == timedelta(seconds=90)),
        (lambda: other.complete(made.id), lambda: not cached.get(made.id).is_live),
    ):
        warm(cached, made.id)
        change()
        eventually(seen, deadline_s=2, what="the change")
    warm(cached, made.id)
    other.delete(made.id)
    eventually(lambda: not is_held(cached, made.id))
    with pytest.raises(SessionNotFound):
        cached.get(made.id)


OWN: dict[str, Callable[[Any, str], Any]] = {
    "update": lambda store, each: store.update(each, note="new"),
    "update_many": lambda store, each: store.update_many({each: {"note": "new"}}),
    "mutate": lambda store, each: store.mutate(each, lambda _: {"note": "new"}),
    "editing": lambda store, each: edited(store, each),
    "touch": lambda store, each: later(lambda: store.touch(each)),
    "set_ttl": lambda store, each: store.set_ttl(each, 77),
    "persist": lambda store, each: store.persist(each),
    "increment": lambda store, each: store.increment(each, attempts=1),
    "append": lambda store, each: store.append(each, JobSession.lines, "x"),
    "complete": lambda store, each: store.complete(each),
    "fail": lambda store, each: store.fail(each),
    "terminate": lambda store, each: store.terminate(each),
    "cleanup_inactive": lambda store, each: later(lambda: store.cleanup_inactive(0.001)),
    "acting": lambda store, each: store.acting(actor="x").update(each, note="new"),
    "owned_by": lambda store, each: store.owned_by("ada").update(each, note="new"),
}


def later(call: Callable[[], Any]) -> Any:
    """Call in another millisecond than that of what was before."""
    time.sleep(0.002)
    return call()


def edited(store: Any, session_id: str) -> None:
    """Edit a session in a block."""
    with store.editing(session_id) as draft:
        draft.note = "new"


@pytest.mark.parametrize("name", OWN)
def test_own_writes_are_read(cached: Store, other: Store, name: str) -> None:
    """The very next read finds what this store wrote, even where what Redis tells is on its way for long."""
    made = cached.create(owner="ada", ttl=60)
    before = warm(cached, made.id)
    deaf(cached)
    OWN[name](cached, made.id)
    found = cached.get(made.id)
    assert found != before
    assert found == other.get(made.id)


@pytest.mark.parametrize("many", [False, True])
def test_what_own_writes_end_is_not_read(cached: Store, other: Store, *, many: bool) -> None:
    """Sessions that a new one takes the place of are named by nobody, and are read again before the call returns."""
    cached.set_tenant_limits(sessions=2, policy="evict_lru")
    made = [cached.create(), later(cached.create)]
    for each in made:
        warm(cached, each.id)
    deaf(cached)
    if many:
        cached.create_many([{}, {}])
    else:
        cached.create()
    found = [cached.get(each.id) for each in made]
    assert [each.is_live for each in found] == [False, not many]
    assert found == [other.get(each.id) for each in made]


def test_creating_leaves_it_filled(cached: Store) -> None:
    """Where nothing had to make room, nothing is read again."""
    cached.set_tenant_limits(sessions=20, policy="evict_lru")
    made = cached.create()
    found = warm(cached, made.id)
    deaf(cached)
    cached.create()
    cached.create_many([{}, {}])
    assert is_held(cached, made.id)
    assert cached.get(made.id) is found


def test_a_read_whose_reply_is_overtaken_is_not_held(cached: Store, other: Store) -> None:
    """Redis read the session, somebody changed it, and what Redis tells of that comes before the read's own reply."""
    made = cached.create()
    warm(cached, made.id)
    cached.touch(made.id)
    transport: Any = cached._shared.transport
    real = transport.execute_one
    told: list[int] = []

    def overtake() -> None:
        before = info(cached).invalidations
        other.update(made.id, note="new")
        eventually(lambda: info(cached).invalidations > before)
        told.append(before)

    def slow(operations: Any) -> Any:
        found = real(operations)
        overtake()
        return found

    async def slow_async(operations: Any) -> Any:
        found = await real(operations)
        overtake()
        return found

    transport.execute_one = slow_async if inspect.iscoroutinefunction(real) else slow
    old = cached.get(made.id)
    transport.execute_one = real
    assert (old.note, len(told)) == (None, 1)
    assert cached.get(made.id).note == "new"


@pytest.mark.parametrize("end", ["delete", "rotate_id"])
def test_own_ends_are_read(cached: Store, end: str) -> None:
    """What this store deleted, or gave another id, it does not find the next moment."""
    made = warm(cached, cached.create().id)
    deaf(cached)
    getattr(cached, end)(made.id)
    with pytest.raises(SessionNotFound):
        cached.get(made.id)


def test_a_conflict_tells_that_something_is_old(cached: Store, other: Store) -> None:
    """Who reads again after one gets what he conflicts with, not the same again."""
    old = warm(cached, cached.create().id)
    deaf(cached)
    other.update(old.id, note="x")
    assert cached.get(old.id) is old
    with pytest.raises(VersionConflict):
        cached.update(old.id, version=old.version, note="y")
    assert cached.get(old.id).note == "x"


@pytest.mark.parametrize("way", ["list", "verify", "get_many", "mutate"])
def test_nobody_goes_back_after_another_way_of_reading(cached: Store, other: Store, way: str) -> None:
    """What was seen in a list, behind a token or in a batch is not followed by what is older."""
    old = warm(cached, cached.create().id)
    token = cached.tokens.issue(old.id).access
    assert warm(cached, old.id) == old
    deaf(cached)
    other.update(old.id, note="x")
    assert cached.get(old.id) == old
    ways: dict[str, Callable[[], Any]] = {
        "list": cached.list,
        "verify": lambda: cached.tokens.verify(token),
        "get_many": lambda: cached.get_many([old.id]),
        "mutate": lambda: cached.mutate(old.id, lambda _: {}),
    }
    ways[way]()
    assert cached.get(old.id).note == "x"


def test_a_deadline_holds(cached: Store, admin: Any) -> None:
    """Up to it, nearly, there are hits; from it on, by Redis's clock, there is no session."""
    made = cached.create(ttl=0.5)
    assert made.expires_at is not None
    deadline_s, last_s = made.expires_at.timestamp(), 0.0
    warm(cached, made.id)
    hits = info(cached).hits
    while True:
        seconds, micros = admin.time()
        now_s = seconds + micros / 1e6
        try:
            cached.get(made.id)
        except SessionNotFound:
            break
        assert now_s < deadline_s
        last_s = now_s
    assert deadline_s - last_s < 0.2
    assert info(cached).hits > hits + 10
    with pytest.raises(SessionNotFound):
        cached.get(made.id)


def test_hits_keep_a_sliding_session_alive(open_cached: Open, admin: Any) -> None:
    """Read all the time it lives on for several times its TTL, and few of the reads are told to Redis."""
    store = open_cached(sliding=True)
    made = store.create(ttl=1.0)
    admin.config_resetstat()
    ends, reads = time.monotonic() + 3.0, 0
    while time.monotonic() < ends:
        store.get(made.id)
        reads += 1
    told = admin.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert info(store).hits > reads * 0.9
    assert told < 3.0 / (1.0 * 0.05) * 6
    time.sleep(1.05)
    with pytest.raises(SessionNotFound):
        store.get(made.id)


def test_a_session_that_cannot_live_longer_is_held_up_to_its_end(open_cached: Open) -> None:
    """Sliding has nothing to gain where max_lifetime has been reached."""
    store = open_cached(sliding=True)
    made = store.create(ttl=60, max_lifetime=60)
    assert warm(store, made.id) == made


def test_owners(cached: Store) -> None:
    """Another owner's view does not find what is there, and does not make it leave for good."""
    made = cached.create(owner="ada")
    warm(cached, made.id)
    mine, theirs = cached.owned_by("ada"), cached.owned_by("bob")
    assert mine.get(made.id) is cached.get(made.id)
    for _ in range(3):
        with pytest.raises(WrongOwner):
            theirs.get(made.id)
    assert mine.get(made.id) == made
    cached.update(made.id, owner="bob")
    with pytest.raises(WrongOwner):
        mine.get(made.id)
    assert theirs.get(made.id).owner == "bob"


@pytest.mark.beyond_one_tenant
def test_tenants_with_a_session_of_the_same_id(cached: Store, admin: Any) -> None:
    """Each view finds its own, in turn, and a change of one leaves the other's."""
    beta = tracking(cached.for_tenant("beta"))
    made = cached.create(note="mine")
    ours, theirs = (each._context.keys.session(made.id) for each in (cached, beta))
    admin.hset(theirs, mapping=admin.hgetall(ours) | {"tenant": "beta", "note": "theirs"})
    for _ in range(3):
        assert [cached.get(made.id).note, cached.get(made.id).note] == ["mine", "mine"]
        assert [beta.get(made.id).note, beta.get(made.id).note] == ["theirs", "theirs"]
    cached.get(made.id)
    admin.hset(theirs, "note", "changed")
    eventually(lambda: beta.get(made.id).note == "changed")
    assert cached.get(made.id).note == "mine"


def test_what_is_not_there_or_damaged_is_not_held(cached: Store, admin: Any) -> None:
    """Errors are no sessions; and once it is mended it is found."""
    made = cached.create()
    key = cached._context.keys.session(made.id)
    admin.hset(key, "version", "x")
    for _ in range(2):
        with pytest.raises(SessionCorrupt):
            cached.get(made.id)
    admin.hset(key, "version", "1")
    assert cached.get(made.id).version == 1
    odd: Any
    for odd in ("x", made.id.upper(), 7, [], None):
        with pytest.raises(InvalidId):
            cached.get(odd)
    with pytest.raises(SessionNotFound):
        cached.get(UNKNOWN)


def test_hits_are_calls_to_observers(open_cached: Open) -> None:
    """They are told of each get, whoever answers it; and what they count is right."""
    seen: list[str] = []

    class Noting(Observer):
        def started(self, call: Any) -> Any:
            return lambda outcome: seen.append(f"{call.operation} {outcome.result}")

    store = open_cached(observers=[Noting()])
    made = store.create()
    warm(store, made.id)
    hits = info(store).hits
    del seen[:]
    for _ in range(4):
        store.get(made.id)
    assert seen == ["get ok"] * 4
    assert info(store).hits == hits + 4


def test_hits_are_not_counted_against_a_rate(cached: Store) -> None:
    """A rate of operations protects Redis, of which hits ask nothing; reads that do are counted as ever."""
    made = cached.create()
    cached.set_tenant_limits(operations=Rate(per_second=0.01, burst=3))
    warm(cached, made.id)
    time.sleep(1.1)  # it is looked at once a second whether there is one
    for _ in range(50):
        cached.get(made.id)
    heard = []
    for _ in range(9):
        try:
            cached.get(UNKNOWN)
        except (SessionNotFound, RateLimited) as error:
            heard.append(type(error))
    assert heard[-1] is RateLimited


def test_what_is_read_cannot_be_changed_in_place(cached: Store) -> None:
    """Nobody can put into a session what others then read; a copy can be changed, and editing works."""
    made = cached.create(metadata={"a": {"b": [1]}})
    inside: Any = warm(cached, made.id).metadata
    changes: tuple[Callable[[], Any], ...] = (
        lambda: inside.update(x=1),
        lambda: inside["a"].pop("b"),
        lambda: inside["a"]["b"].append(2),
    )
    for change in changes:
        with pytest.raises(TypeError, match="shared"):
            change()
    with cached.editing(made.id) as draft:
        draft.metadata["a"]["b"].append(2)
    assert cached.get(made.id).metadata == {"a": {"b": [1, 2]}}
    cached.update(made.id, metadata=cached.get(made.id).metadata | {"c": cached.get(made.id).metadata["a"]})
    assert cached.get(made.id).metadata == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}


def test_bounds(open_cached: Open) -> None:
    """Of sessions, and of bytes."""
    store = open_cached(cache=Cache(max_sessions=3))
    ids = [store.create().id for _ in range(10)]
    eventually(lambda: info(store).invalidations == 10)
    for each in (*ids, *ids):
        store.get(each)
    assert info(store).sessions == 3
    assert [is_held(store, each) for each in ids] == [False] * 7 + [True] * 3
    small = open_cached(cache=Cache(max_bytes=2_000))
    for each in ids:
        small.get(each)
    assert 0 < info(small).bytes <= 2_000
    assert info(small).evictions > 0


def test_a_signal_handler_may_use_the_store(redis_url: str) -> None:
    """In the middle of a read or a write through the cache, whatever that is doing."""
    with SessionStore(redis_url, model=JobSession, cache=Cache(max_sessions=4)) as store:
        ids = [tracking(store).create().id for _ in range(12)]
        handled = 0

        def handle(_number: int, _frame: FrameType | None) -> None:
            nonlocal handled
            handled += 1
            for each in ids[handled % 6 :: 3]:
                store.get(each)
            if handled % 5 == 0:
                store.touch(ids[handled % 12])
            signal.setitimer(signal.ITIMER_REAL, 0.0007)

        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        try:
            for turn in range(2_000):
                assert store.get(ids[turn % 12]).id == ids[turn % 12]
                if turn % 7 == 0:
                    store.increment(ids[turn % 12], attempts=1)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert handled > 10
        table: Any = store._shared.near._table  # type: ignore[union-attr]
        assert info(store).bytes == sum(each.bytes for each in table.entries.values())
        assert info(store).sessions <= 4
