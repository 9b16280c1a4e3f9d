"""What a near cache does when its connection is lost, hangs or is refused, when Redis is flushed, and over forks."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import OwnRedis
from tests.proxy import Proxy
from tests.store.cache.conftest import deaf, info, is_held, tracking, warm
from tests.store.examples import JobSession
from tests.waiting import eventually

from sojourn import Cache, SessionNotFound, SessionStore, Settings
from sojourn.cache.near import KEEPING
from sojourn.cache.tracker import _Follower
from sojourn.scripts import lua_folder, script

Store = SessionStore[JobSession]
Open = Callable[..., Store]


def trackers(admin: Any) -> list[str]:
    """Return the ids of the connections on which caches listen."""
    return [each["id"] for each in admin.client_list() if each["name"] == "sojourn-cache"]


def threads() -> int:
    """Return how many threads of caches there are in this process."""
    return sum(each.name == "sojourn-cache" for each in threading.enumerate())


def test_a_lost_connection_empties_it(cached: Store, other: Store, admin: Any) -> None:
    """At once; it begins anew from empty, and what changed meanwhile is read."""
    made = cached.create()
    warm(cached, made.id)
    for number in range(3):
        flushes = info(cached).flushes
        (tracker,) = trackers(admin)
        admin.client_kill_filter(_id=tracker)
        eventually(lambda: info(cached).flushes > flushes, deadline_s=2)  # noqa: B023
        other.update(made.id, note=str(number))
        assert cached.get(made.id).note == str(number)
        tracking(cached)
        assert warm(cached, made.id).note == str(number)
    assert "closed the connection" in info(cached).problem


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_that_ends_late_is_in_nobodys_way(
    open_cached: Open, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """It was connecting when the store was closed, and the store has been used again since."""
    store = open_cached(cache=Cache(max_stale=0.5))
    store.close()
    connect, goes_on = _Follower._connect, threading.Event()

    def slow(self: Any) -> Any:
        goes_on.wait(30)
        if fails:
            raise ConnectionError
        return connect(self)

    with monkeypatch.context() as patch:
        patch.setattr(_Follower, "_connect", slow)
        patch.setattr("sojourn.cache.tracker._JOIN_S", 0)
        store.get(store.create().id)
        late: Any = store._shared.near._tracker._follower  # type: ignore[union-attr]
        store.close()
    tracking(store)
    goes_on.set()
    late.join(30)
    until_s = time.monotonic() + 1
    while time.monotonic() < until_s:
        assert store.cache is not None
        assert store.cache.tracking
        time.sleep(0.05)


def test_a_flushed_redis_empties_it(cached: Store, admin: Any) -> None:
    """FLUSHALL and FLUSHDB tell no keys, but that all are gone."""
    for flush in (admin.flushall, admin.flushdb):
        made = cached.create()
        warm(cached, made.id)
        flush()
        eventually(lambda: not is_held(cached, made.id), deadline_s=2)  # noqa: B023
        with pytest.raises(SessionNotFound):
            cached.get(made.id)


def test_a_connection_that_hangs_is_noticed(open_cached: Open, redis_url: str, other: Store) -> None:
    """Nothing old is answered later than max_stale, and then it goes on over a new connection."""
    with Proxy(redis_url) as proxy:
        store = open_cached(url=proxy.url, cache=Cache(max_stale=1.0))
        made = store.create()
        warm(store, made.id)
        proxy.drop_replies(1, to=b"TIME")  # hits send nothing: the next that asks for the time is the listener
        eventually(lambda: proxy.dropped == 1 or store.get(made.id) is None, deadline_s=5)
        other.update(made.id, note="x")
        changed_s = time.monotonic()
        assert store.get(made.id).note is None
        while (found := store.get(made.id)).note is None:
            assert time.monotonic() - changed_s < 1.0
        assert found.note == "x"
        tracking(store)
        assert warm(store, made.id).note == "x"
        assert "did not answer" in info(store).problem


def test_a_redis_that_was_away(own_redis: OwnRedis) -> None:
    """The cache answers nothing while it is, and works again after."""
    server = own_redis()
    with SessionStore(server.url, model=JobSession, cache=Cache()) as store:
        made = tracking(store).create()
        warm(store, made.id)
        server.kill()
        eventually(lambda: not info(store).tracking, deadline_s=2)
        assert not is_held(store, made.id)
        server.restart()
        again = tracking(store).create()
        assert warm(store, again.id) == again


def test_closing(cached: Store, admin: Any) -> None:
    """Ends the thread and the connection; a store that is used again after that has them again."""
    made = cached.create()
    warm(cached, made.id)
    before = threads()
    cached.close()
    assert threads() == before - 1
    eventually(lambda: trackers(admin) == [], deadline_s=2)
    assert not is_held(cached, made.id)
    assert tracking(cached).get(made.id) == made
    assert len(trackers(admin)) == 1


def test_a_store_that_is_dropped_takes_its_thread_along(redis_url: str, admin: Any) -> None:
    """Nobody has closed it."""
    store = tracking(SessionStore(redis_url, cache=Cache()))
    before = threads()
    views = [store.for_tenant("beta"), store.acting(actor="x")]
    store._shared.transport._lines.close()
    del store, views
    gc.collect()
    eventually(lambda: threads() == before - 1, deadline_s=5)
    eventually(lambda: trackers(admin) == [], deadline_s=5)


def test_nothing_begins_before_it_is_used(redis_url: str, admin: Any) -> None:
    """A store that reads nothing has no thread."""
    before = threads()
    with SessionStore(redis_url, cache=Cache()) as store:
        store.create()
        assert threads() == before
        assert trackers(admin) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forks(redis_url: str, admin: Any, other: Store) -> None:
    """A child begins with nothing, over a connection of its own; its parent goes on as before."""
    with SessionStore(redis_url, model=JobSession, cache=Cache()) as store:
        made = tracking(store).create()
        warm(store, made.id)
        (tracker,) = trackers(admin)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                empty = info(store).sessions == 0 and not is_held(store, made.id) and info(store).hits == 0
                warm(tracking(store), made.id)
                two = len(trackers(admin_of(redis_url))) == 2
                other.update(made.id, note="by the child")
                eventually(lambda: store.get(made.id).note == "by the child")
                store.close()
                status = 0 if empty and two else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        eventually(lambda: store.get(made.id).note == "by the child")
        assert info(store).flushes == 0
        assert trackers(admin) == [tracker]
        warm(store, made.id)


def admin_of(url: str) -> Any:
    """Return a plain client."""
    import redis

    return redis.Redis.from_url(url, decode_responses=True, protocol=2)


def test_many_tenants(redis_url: str, admin: Any) -> None:
    """Those beyond what Redis is asked to tell of are read each time; none is answered wrongly."""
    with SessionStore(redis_url, model=JobSession, cache=Cache()) as store:
        views = [store.for_tenant(f"t{number}") for number in range(70)]
        ids = [view.create(note=view.tenant).id for view in views]
        for _ in range(3):
            for view, each in zip(views, ids, strict=True):
                assert view.get(each).note == view.tenant
            time.sleep(0.05)
        eventually(lambda: [v.get(each) for v, each in zip(views, ids, strict=True)] and info(store).sessions == 64)
        assert [is_held(view, each) for view, each in zip(views, ids, strict=True)].count(True) == 64
        assert len(trackers(admin)) == 1


def test_a_tenant_that_moves(redis_url: str) -> None:
    """What was held from where its keys were is gone with them; they are found, and held, where they are."""
    from sojourn.tenants import isolate

    with SessionStore(redis_url, model=JobSession, tenant="acme", cache=Cache()) as store:
        made = tracking(store).create(note="x")
        warm(store, made.id)
        isolate(Settings(redis_url=redis_url), "acme")
        eventually(lambda: not is_held(store, made.id), deadline_s=5)
        assert store.get(made.id).note == "x"
        tracking(store)
        assert warm(store, made.id).note == "x"
        assert store._context.keys.partition.number == 100


def test_unix_sockets(own_redis: OwnRedis, tmp_path: Any) -> None:
    """The listener connects as the store does."""
    path = tmp_path / "r.sock"
    own_redis({"unixsocket": str(path)})
    with SessionStore(f"unix://{path}", model=JobSession, cache=Cache()) as store:
        made = tracking(store).create()
        assert warm(store, made.id) == made


def test_a_stand_in_for_redis_has_no_listener() -> None:
    """The servers of sojourn.testing tell of no changes: each read asks them."""
    from sojourn.testing import FakeRedis

    with FakeRedis() as fake, SessionStore(fake.url, cache=Cache()) as store:
        made = store.create()
        before = threads()
        assert store.get(made.id) == store.get(made.id) == made
        assert (info(store).hits, info(store).misses, threads()) == (0, 2, before)


_CHANGES = re.compile(
    r"'(?:HSET|HDEL|HINCRBY|HSETNX|DEL|UNLINK|RENAME|PEXPIREAT|PEXPIRE|PERSIST|RESTORE)',\s*(?:k\.)?(?:session|successor)\b"
)


_FUNCTION = re.compile(r"^local function (\w+)\(.*?\n(?:end)\n", re.DOTALL | re.MULTILINE)


def changes_of(name: str) -> set[str]:
    """Return by what a script changes records: functions that do, or ''."""
    source = script(name).source
    bodies = {found[1]: found[0] for found in _FUNCTION.finditer(source)}
    changing = {each for each, body in bodies.items() if _CHANGES.search(body)}
    while more := {
        each for each, body in bodies.items() if each not in changing and any(f"{one}(" in body for one in changing)
    }:
        changing |= more
    rest = _FUNCTION.sub("", source)
    return {each for each in changing if re.search(rf"\b{each}\(", rest)} | ({""} if _CHANGES.search(rest) else set())


def test_which_scripts_change_no_record() -> None:
    """What a cache keeps over a script is true: of all others it lets the session go that they name, or all."""
    # Sliding is what reads do that are held themselves: of these only a token's verification does.
    assert {name: changes_of(name) for name in KEEPING if changes_of(name)} == {"verify_counted": {"slide"}}
    assert {each.stem for each in lua_folder().glob("*.lua")} >= set(KEEPING)
    assert "" in changes_of("update_session")
    assert "finish" in changes_of("end_session")


def test_a_write_that_names_no_session_empties_it(cached: Store) -> None:
    """Which ones it changed only the script knows."""
    made = cached.create()
    warm(cached, made.id)
    deaf(cached)
    cached.expire_due()
    assert not is_held(cached, made.id)
