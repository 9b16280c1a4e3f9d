"""Giving a tenant its own partition, with clients and workers at work, and killed anywhere on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import redis
from tests.census import strays
from tests.drivers import KINDS, StoreOpener
from tests.store.cleanup.test_due import with_tokens
from tests.store.examples import JobSession
from tests.waiting import eventually

from sojourn import SessionNotFound, SessionStore, Settings, TenantClosed
from sojourn.keys import TenantKeys
from sojourn.tenants import isolate
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.sweep import Sweeper

OLD = TenantKeys.of("acme", 64)


@pytest.fixture
def raw_any(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def filled(url: str, count: int) -> tuple[SessionStore[JobSession], list[str]]:
    """Return a store of the tenant acme with some sessions of every sort, and their ids."""
    store = SessionStore(settings=Settings(redis_url=url, tenant="acme"), model=JobSession)
    wanted = [{"owner": f"o{n % 7}", "tags": ["x", f"t{n % 3}"], "limit": n} for n in range(count)]
    made = [each for start in range(0, count, 500) for each in store.create_many(wanted[start : start + 500])]
    for each in made[::5]:
        store.append(each.id, JobSession.lines, "a", "b")
    for each in made[1::5]:
        store.complete(each.id)
    for each in made[2::5]:
        store.persist(each.id)
    return store, [each.id for each in made]


def shared_keys(client: Any) -> list[str]:
    """Return what the tenant has left in the partition that it shared."""
    return sorted(client.scan_iter(f"{OLD.prefix}*", count=1000))


def test_everything_comes_along(redis_url: str) -> None:
    """Records, logs, TTLs, deadlines, indexes and what waits for the archive: all as they were, in the new place."""
    store, ids = filled(redis_url, 300)
    neighbour = store.for_tenant("other")
    kept = neighbour.create(owner="ada")
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        before = {each: store.get(each) for each in ids}
        ttls = {each: (client.pttl(OLD.session(each)), client.pttl(OLD.lease(each))) for each in ids}
        scores = {
            key: dict(client.zrange(key, 0, -1, withscores=True))
            for key in (OLD.partition.deadlines, OLD.partition.dirty, OLD.partition.removals)
        }
        counts = {status: store.count(status=status) for status in ("pending", "completed")}
        owned = store.count(owner="o3", tag="t1")
        client.set(f"{OLD.prefix}other:abc", "x", px=60_000)
        client.zadd(f"{OLD.prefix}index:accessed", {ids[0]: 5})

        report = isolate(Settings(redis_url=redis_url), "acme")

        assert (report.partition, report.sessions, report.already) == (100, 300, False)
        assert shared_keys(client) == [OLD.limits]
        assert client.hgetall(OLD.limits) == {"moved": "100"}
        with SessionStore(redis_url, model=JobSession, tenant="acme") as fresh:
            assert {each: fresh.get(each) for each in ids} == before
            assert fresh.entries(ids[0], JobSession.lines) == ["a", "b"]
            assert {status: fresh.count(status=status) for status in counts} == counts
            assert fresh.count(owner="o3", tag="t1") == owned
        assert store.count(owner="o3", tag="t1") == owned  # the store that was open all the while
        new = TenantKeys("acme", type(OLD.partition)(100))
        for each, (record_ms, lease_ms) in ttls.items():
            for key, held_ms in ((new.session(each), record_ms), (new.lease(each), lease_ms)):
                assert client.pttl(key) == held_ms or held_ms - 60_000 < client.pttl(key) <= held_ms
        moved = {
            key: dict(client.zrange(key.replace(OLD.partition.prefix, "sojourn:{100}:"), 0, -1, withscores=True))
            for key in scores
        }
        assert moved == scores
        assert client.get("sojourn:{100}:acme:other:abc") == "x"
        assert client.pttl("sojourn:{100}:acme:other:abc") > 0
        assert client.zscore("sojourn:{100}:acme:index:accessed", ids[0]) == 5
        client.delete("sojourn:{100}:acme:index:accessed")
    assert neighbour.get(kept.id) == kept
    assert strays(redis_url) == []
    assert isolate(Settings(redis_url=redis_url), "acme").already
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_open_stores_follow(redis_url: str, kind: str) -> None:
    """A store that knew the old place finds, writes, lists and creates in the new one, without an error."""
    with StoreOpener(kind, redis_url) as opener:
        store = opener(JobSession, tenant="acme")
        made = store.create_many([{"limit": n} for n in range(6)])
        isolate(Settings(redis_url=redis_url), "acme")
        assert store.acting(actor="ada").get(made[0].id) == made[0]
        store = opener(JobSession, tenant="acme")
        assert store.update(made[1].id, limit=9).limit == 9
        assert store.get_many([each.id for each in made])[2] == made[2]


FIRST: dict[str, Callable[[Any, str], list[Any]]] = {
    "get": lambda store, made: [store.get(made)],
    "update": lambda store, made: [store.update(made, limit=1)],
    "get_many": lambda store, made: store.get_many([made]),
    "update_many": lambda store, made: store.update_many({made: {"limit": 1}}),
    "create": lambda store, _: [store.create(limit=1)],
    "create_many": lambda store, _: store.create_many([{"limit": 1}]),
    "list": lambda store, _: list(store.list().sessions),
    "mutate": lambda store, made: [store.mutate(made, lambda _: {"limit": 1})],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", FIRST)
def test_each_call_finds_the_new_place(any_redis_url: str, kind: str, first: str) -> None:
    """Whichever call an open store makes first after the move."""
    with StoreOpener(kind, any_redis_url) as opener:
        store = opener(JobSession, tenant="acme")
        made = store.create(limit=1)
        isolate(Settings(redis_url=any_redis_url), "acme")
        (found,) = FIRST[first](store, made.id)
        assert found.limit == 1


def test_what_is_not_there_is_not_there(any_redis_url: str, raw_any: Any) -> None:
    """A miss asks again where the tenant is at most once a second, and says that there is no such session."""
    with SessionStore(any_redis_url, tenant="acme") as store:
        unknown = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
        store.count()
        raw_any.config_resetstat()
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            with pytest.raises(SessionNotFound):
                store.get(unknown)
        assert raw_any.info("commandstats").get("cmdstat_get", {}).get("calls", 0) <= 1


def test_no_call_misses_a_session_while_all_are_moved(any_redis_url: str) -> None:
    """Clients that read, write and create without a pause, open before and opened meanwhile: no error, nothing lost."""
    first, ids = filled(any_redis_url, 1_500)
    live = [each for index, each in enumerate(ids) if index % 5 != 1]
    done, wrong, created = threading.Event(), [], []
    counted = dict.fromkeys(live, 0)
    lock = threading.Lock()

    def work(seed: int, reopens: bool) -> None:
        store = first if not reopens else SessionStore(any_redis_url, model=JobSession, tenant="acme")
        index = seed
        try:
            while not done.is_set():
                index = (index + 7) % len(live)
                if reopens and index % 50 == 0:
                    store.close()
                    store = SessionStore(any_redis_url, model=JobSession, tenant="acme")
                store.get(live[index])
                store.increment(live[index], attempts=1)
                with lock:
                    counted[live[index]] += 1
                if index % 10 == 0:
                    created.append(store.create(limit=0).id)
                if index % 100 == 0:
                    assert store.count(status=("pending", "completed")) >= len(ids)
        except Exception as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed, seed % 2 == 1)) for seed in range(6)]
    for each in threads:
        each.start()
    report = isolate(Settings(redis_url=any_redis_url), "acme")
    done.set()
    for each in threads:
        each.join()
    assert not wrong
    assert report.sessions >= len(ids)
    with SessionStore(any_redis_url, model=JobSession, tenant="acme") as store:
        assert {each: store.get(each).attempts for each in live} == counted
        assert store.count() == len(ids) + len(created)
    assert strays(any_redis_url) == []
    first.close()


def test_threads_that_share_a_view(any_redis_url: str) -> None:
    """One finds the new place while another's call is on its way to the old one: each is repeated in the new."""
    store, ids = filled(any_redis_url, 400)
    done, wrong = threading.Event(), []

    def work() -> None:
        while not done.is_set():
            try:
                store.create()
                store.get(ids[0])
            except Exception as error:  # noqa: BLE001
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for each in threads:
        each.start()
    isolate(Settings(redis_url=any_redis_url), "acme")
    done.set()
    for each in threads:
        each.join()
    store.close()
    assert not wrong


_ISOLATE = "import sys; from sojourn import Settings; from sojourn.tenants import isolate; "
_ISOLATE += "isolate(Settings(redis_url=sys.argv[1]), 'acme')"


def moved_or_over(client: Any, wanted: int, process: subprocess.Popen[bytes]) -> bool:
    """Return whether so many sessions are in the new place, or the process is at its end."""
    return process.poll() is not None or client.zcard("sojourn:{100}:dirty") >= wanted


def test_killed_anywhere_it_goes_on(any_redis_url: str, raw_any: Any) -> None:
    """SIGKILL again and again, each time a little further on: in the end all are there, each once, none astray."""
    store, ids = filled(any_redis_url, 1_000)
    before = {each: store.get(each) for each in ids}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    places = []
    for wanted in (1, 150, 400, 900):
        process = subprocess.Popen([sys.executable, "-c", _ISOLATE, any_redis_url], env=environment)
        reached = partial(moved_or_over, raw_any, wanted, process)
        eventually(reached, deadline_s=30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        places.append(raw_any.get("sojourn:partition:acme"))
        assert raw_any.zcard("sojourn:{100}:dirty") + raw_any.zcard(OLD.partition.dirty) == len(ids)
    assert places[0] == f"100 {OLD.partition.number} moving"
    report = isolate(Settings(redis_url=any_redis_url), "acme")
    assert report.partition == 100
    assert raw_any.get("sojourn:partition:acme") == f"100 {OLD.partition.number}"
    assert {each: store.get(each) for each in ids} == before
    assert shared_keys(raw_any) == [OLD.limits]
    assert strays(any_redis_url) == []
    events = [fields for _, fields in raw_any.xrange("sojourn:{100}:events") if fields["type"] == "administered"]
    assert len(events) == 1
    store.close()


def test_numbers_are_never_used_twice(any_redis_url: str, raw_any: Any) -> None:
    """Racing calls for many tenants, twice each: one number for each; that of one that went is not given out again."""
    settings = Settings(redis_url=any_redis_url)
    found: list[tuple[str, int]] = []

    def give(name: str) -> None:
        found.append((name, isolate(settings, name).partition))

    threads = [threading.Thread(target=give, args=(f"t{n % 10}",)) for n in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted({number for _, number in found}) == list(range(100, 110))
    assert len(set(found)) == 10
    raw_any.hdel("sojourn:isolated", "t3")
    raw_any.delete("sojourn:partition:t3")
    assert isolate(settings, "t3").partition == 110


def test_a_tenant_that_is_being_deleted_is_left_alone(any_redis_url: str, raw_any: Any) -> None:
    """It gets no partition of its own, and nothing is created for it."""
    raw_any.hset(OLD.limits, "closed", "now")
    with pytest.raises(TenantClosed):
        isolate(Settings(redis_url=any_redis_url), "acme")
    with SessionStore(any_redis_url, tenant="acme") as store, pytest.raises(TenantClosed):
        store.create()
    assert not raw_any.exists("sojourn:isolated")


def test_a_running_sweeper_notices(any_redis_url: str) -> None:
    """A sweeper that was started before claims what expires in the new partition, within some two seconds."""
    settings = Settings(redis_url=any_redis_url)
    link = RedisLink(settings)
    sweeper = Sweeper(settings, link)
    sweeper.step()
    isolate(settings, "acme")
    with SessionStore(any_redis_url, tenant="acme") as store:
        made = store.create(ttl=0.05)
        began = time.monotonic()
        with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
            key = f"sojourn:{{100}}:acme:session:{made.id}"

            def expired() -> bool:
                sweeper.step()
                return bool(client.hget(key, "status") == "expired")

            eventually(expired)
    assert time.monotonic() - began < 2
    link.close()


def test_user_groups_lose_no_event(any_redis_url: str, raw_any: Any) -> None:
    """What a group of the tenant's had not read before the move, it reads after it, and then what came since."""
    with SessionStore(any_redis_url, tenant="acme") as store:
        store.forget_events("none")
        list(store.events("billing", start="oldest", timeout=0))
        made = [store.create().id for _ in range(3)]
        isolate(Settings(redis_url=any_redis_url), "acme")
    with SessionStore(any_redis_url, tenant="acme") as store:
        made.append(store.create().id)
        events = list(store.events("billing", timeout=0))
        assert sorted(each.session_id for each in events if each.type == "created") == sorted(made)
        assert not raw_any.xinfo_groups(OLD.partition.events)  # it keeps nothing there any more
        assert store.forget_events("billing")
        assert not store.forget_events("billing")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_of_events_follows(any_redis_url: str, kind: str) -> None:
    """One that was reading all the while goes on with what happens in the new partition, and misses nothing."""
    with StoreOpener(kind, any_redis_url) as opener, SessionStore(any_redis_url, tenant="acme") as other:
        made = [other.create().id]
        reader = opener(tenant="acme").events("billing", start="oldest", timeout=10)
        assert next(reader).session_id == made[0]
        made.append(other.create().id)
        isolate(Settings(redis_url=any_redis_url), "acme")
        made.append(other.create().id)
        found: list[str] = []
        for event in reader:
            if event.type == "created":
                found.append(event.session_id)
            if len(found) == 2:
                break
        assert found == made[1:]
        reader.close()  # type: ignore[attr-defined]


def test_sessions_with_many_tokens(any_redis_url: str, raw_any: Any) -> None:
    """All of all come along."""
    store, ids = filled(any_redis_url, 8)
    live = [each for each in ids if store.get(each).is_live]
    access = store.tokens.issue(live[0], refresh_ttl=None).access
    with_tokens(store, raw_any, live, 600)
    assert isolate(Settings(redis_url=any_redis_url), "acme").sessions == 8
    assert shared_keys(raw_any) == [OLD.limits]
    new = TenantKeys("acme", type(OLD.partition)(100))
    for key in (new.tokens, new.families):
        assert [raw_any.zcard(key(each)) for each in live] == [601] + [600] * (len(live) - 1)
    assert [raw_any.hlen(new.token(each)) for each in live] == [1202] + [1200] * (len(live) - 1)
    assert store.tokens.verify(access).id == live[0]
    store.close()
