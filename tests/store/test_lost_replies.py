"""A write whose reply is lost is sent again, and counts once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.drivers import StoreOpener, snapshot
from tests.proxy import Proxy
from tests.store.examples import JobSession, keys_of
from tests.waiting import eventually

from sojourn import SessionEnded, SessionStore, StoreUnavailable, VersionConflict

WRITES: dict[str, Callable[[Any, str], Any]] = {
    "update": lambda store, id_: store.update(id_, note="mine"),
    "increment": lambda store, id_: store.increment(id_, attempts=5),
    "append": lambda store, id_: store.append(id_, JobSession.lines, "one", "two"),
    "set_ttl": lambda store, id_: store.set_ttl(id_, 500),
    "persist": lambda store, id_: store.persist(id_),
    "update by version": lambda store, id_: store.update(id_, version=1, note="mine"),
    "update_many": lambda store, id_: store.update_many({id_: {"note": "mine", "version": 1}}),
    "complete": lambda store, id_: store.complete(id_, version=1, reason="mine"),
    "delete": lambda store, id_: store.delete(id_, version=1, reason="mine"),
}


@pytest.fixture
def proxy(redis_url: str, proxy_to: Callable[[str], Proxy]) -> Proxy:
    """Give a proxy before the Redis of the test."""
    return proxy_to(redis_url)


@pytest.fixture
def far(open_store: StoreOpener, proxy: Proxy) -> SessionStore[JobSession]:
    """Give a store behind the proxy, that gives up on a reply quickly and knows all scripts."""
    store = open_store(JobSession, url=proxy.url, socket_timeout=0.15)
    for write in WRITES.values():
        write(store, store.create().id)
    return store


@pytest.fixture
def near(redis_url: str) -> Iterator[SessionStore[JobSession]]:
    """Give a store that has no such trouble."""
    from sojourn import Settings

    with SessionStore(model=JobSession, settings=Settings(redis_url=redis_url)) as store:
        yield store


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Start a call in a thread; return what waits for its result."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()

    def wait() -> Any:
        thread.join(20)
        return outcome[0]

    return wait


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("name", sorted(WRITES))
def test_write_counts_once(far: SessionStore[JobSession], proxy: Proxy, raw: Any, name: str, lost: int) -> None:
    """With one or two replies lost, the record, its log and the events are those of one write."""
    made = far.create()
    events = raw.xlen(keys_of(far).partition.events)
    proxy.drop_replies(lost, to=b"EVALSHA")
    found = WRITES[name](far, made.id)
    assert not isinstance(found, Exception)
    assert proxy.dropped == lost
    record = raw.hgetall(keys_of(far).session(made.id))
    assert record["version"] == "2"
    assert raw.xlen(keys_of(far).partition.events) == events + 1
    if name == "increment":
        assert (found, record["attempts"]) == ({"attempts": 5}, "5")
    if name == "append":
        assert (found, far.entries(made.id, JobSession.lines)) == (2, ["one", "two"])
    if name == "complete":
        assert (found.status, found.end_reason) == ("completed", "mine")


def test_create_counts_once(far: SessionStore[JobSession], proxy: Proxy, raw: Any) -> None:
    """A repeated create answers with the session that the first one made."""
    before = far.count()
    proxy.drop_replies(2, to=b"EVALSHA")
    made = far.create(owner="ada", ttl=50)
    assert proxy.dropped == 2
    assert far.count() == before + 1
    assert far.get(made.id) == made
    events = raw.xrange(keys_of(far).partition.events)
    assert sum(fields["id"] == made.id for _, fields in events) == 1


def test_batch_counts_once(far: SessionStore[JobSession], proxy: Proxy) -> None:
    """A whole batch is sent again, and each of its writes counts once."""
    before = far.count()
    proxy.drop_replies(1, to=b"EVALSHA")
    made = far.create_many([{}] * 30)
    assert far.count() == before + 30
    assert far.get_many(each.id for each in made) == made


@pytest.mark.parametrize("name", sorted(WRITES))
def test_another_writer_comes_between(
    far: SessionStore[JobSession], near: SessionStore[JobSession], proxy: Proxy, name: str
) -> None:
    """What another client writes between the lost reply and the repeat stays, beside what was written before it."""
    made = far.create()
    proxy.drop_replies(1, to=b"EVALSHA")
    outcome = in_thread(lambda: WRITES[name](far, made.id))
    eventually(lambda: proxy.dropped == 1)
    ends = name in ("complete", "delete")
    if not ends:
        eventually(lambda: near.get(made.id).version == 2)
        near.update(made.id, limit=77)
        near.increment(made.id, attempts=1)
    found = outcome()
    assert not isinstance(found, Exception), found
    if name == "delete":
        return
    after = near.get(made.id)
    if ends:
        assert (after.status, after.version) == ("completed", 2)
        return
    assert (after.version, after.limit, after.attempts) == (4, 77, 6 if name == "increment" else 1)
    assert near.entries(made.id, JobSession.lines) == (["one", "two"] if name == "append" else [])
    assert after.note == ("mine" if name.startswith("update") else None)


def test_repeat_brings_nothing_back_to_life(
    far: SessionStore[JobSession], near: SessionStore[JobSession], proxy: Proxy, raw: Any
) -> None:
    """A repeat that arrives after the session has ended changes nothing, and a late writer is told."""
    made = far.create()
    proxy.drop_replies(1, to=b"EVALSHA")
    outcome = in_thread(lambda: far.update(made.id, version=1, note="mine"))
    eventually(lambda: proxy.dropped == 1)
    eventually(lambda: near.get(made.id).version == 2)
    ended = near.complete(made.id)
    before = snapshot(raw)
    assert outcome() == ended
    assert snapshot(raw) == before
    with pytest.raises(SessionEnded):
        far.update(made.id, version=1, note="later")
    assert snapshot(raw) == before


def test_real_conflict_is_still_told(
    far: SessionStore[JobSession], near: SessionStore[JobSession], proxy: Proxy
) -> None:
    """A write that lost its reply to a conflict is a conflict when repeated."""
    made = far.create()
    near.update(made.id, limit=1)
    proxy.drop_replies(1, to=b"EVALSHA")
    with pytest.raises(VersionConflict) as caught:
        far.update(made.id, version=1, limit=2)
    assert caught.value.current_version == 2


def test_when_every_reply_is_lost(far: SessionStore[JobSession], proxy: Proxy, raw: Any) -> None:
    """The error says that nobody knows; what was sent three times has counted once."""
    made = far.create()
    proxy.drop_replies(3, to=b"EVALSHA")
    with pytest.raises(StoreUnavailable, match="3 attempts"):
        far.increment(made.id, attempts=5)
    assert raw.hget(keys_of(far).session(made.id), "attempts") == "5"
    assert far.increment(made.id, attempts=1) == {"attempts": 6}
