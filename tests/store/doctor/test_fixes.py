"""Mending while others write: no record is broken, no acknowledged write is lost, and in the end nothing disagrees."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.census import strays
from tests.store.doctor.conftest import World
from tests.store.doctor.test_records import DRIFT
from tests.store.examples import JobSession

from sojourn import SessionStore
from sojourn.doctor import examine, mend
from sojourn.doctor.look import Look
from sojourn.doctor.walk import Walk
from sojourn.errors import SessionNotFound

ROUNDS = 150


def _write(store: SessionStore[JobSession], done: Counter[str], ended: set[str], seed: int) -> None:
    """Live as a client does; note what was acknowledged."""
    chosen = random.Random(seed)
    mine: list[str] = []
    for number in range(ROUNDS):
        if len(mine) < 4 or number % 10 == 0:
            mine.append(store.create(owner=f"o{number % 3}", tags=[f"t{number % 5}"], ttl=600).id)
        one = chosen.choice(mine)
        store.increment(one, attempts=1)
        done[one] += 1
        what = number % 6
        if what == 0:
            store.update(one, owner=f"o{chosen.randrange(3)}", tags=[f"t{chosen.randrange(5)}"])
        elif what == 1:
            store.append(one, JobSession.lines, "x")
        elif what == 2:
            store.tokens.issue(one)
        elif what == 3:
            store.set_ttl(one, 300 + number)
        elif what == 4 and len(mine) > 4:
            store.complete(one)
            mine.remove(one)
            ended.add(one)
        elif what == 5:
            store.persist(one)


def _ways_to_spoil(world: World, member: str) -> list[Callable[[], Any]]:
    keys, client, session_id = world.keys, world.client, member.partition("/")[2]
    return [
        lambda: client.zrem(keys.partition.deadlines, member),
        lambda: client.delete(keys.lease(session_id)),
        lambda: client.persist(keys.session(session_id)),
        lambda: client.zrem(keys.status_index("job", "pending"), session_id),
        lambda: client.zadd(keys.status_index("job", "failed"), {session_id: 1}),
        lambda: client.zadd(keys.index("owner", "nobody"), {session_id: 1}),
        lambda: client.zadd(keys.partition.removals, {member: 9e12}),
        lambda: client.zrem(keys.live, session_id),
        lambda: client.set(keys.lease("00000000-0000-4000-8000-000000000000"), ""),
    ]


def _spoil(world: World, stop: threading.Event) -> None:
    """Break lists, leases and TTLs by chance."""
    chosen = random.Random(5)
    while not stop.wait(0.005):
        members = world.client.zrange(world.keys.partition.deadlines, 0, -1)
        for spoil in chosen.sample(_ways_to_spoil(world, chosen.choice(members)), 2) if members else ():
            spoil()


def test_writers_go_on(world: World, redis_url: str) -> None:
    """Clients write, somebody breaks things, and the doctor mends all the while, on each version of Redis."""
    done: Counter[str] = Counter()
    ended: set[str] = set()
    stop, failures = threading.Event(), []

    def guarded(function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    writers = [
        threading.Thread(target=guarded, args=(_write, world.store, done, ended, seed)) for seed in range(3)
    ]  # fmt: skip
    spoiler = threading.Thread(target=guarded, args=(_spoil, world, stop))
    for thread in (*writers, spoiler):
        thread.start()
    mends = 0
    while any(each.is_alive() for each in writers):
        look = Look(world.settings, full=True)
        Walk(look, mends=True).everything()
        look.close()
        mends += 1
    stop.set()
    for thread in (*writers, spoiler):
        thread.join()
    assert failures == []
    assert mends
    for each in list(mend(world.settings, examine(world.settings, only=DRIFT, full=True))):
        assert each.failed == ""
    assert [each for each in world.examine(*DRIFT) if each.severity != "ok"] == []
    assert strays(redis_url) == []
    for session_id, times in done.items():
        record = world.client.hgetall(world.keys.session(session_id))
        assert record["attempts"] == str(times)
        assert (record["status"] == "completed") == (session_id in ended)
    assert int(world.client.hget(world.keys.partition.counts, "lost") or 0) == 0, "a live record was taken for gone"


def test_records_that_go_meanwhile(any_world: World, any_redis_url: str) -> None:
    """Sessions are removed while the doctor goes through them: none is told as lost, nothing of them comes back."""
    store = any_world.store
    ids = [each.id for each in store.create_many([{"owner": "x", "tags": ["y"]}] * 200)]
    any_world.settings = any_world.settings.model_copy(update={"retention": any_world.settings.retention * 0})

    def end_all() -> None:
        with SessionStore(settings=any_world.settings, model=JobSession) as other:
            for session_id in ids:
                other.delete(session_id)
                other.create()

    thread = threading.Thread(target=end_all)
    thread.start()
    while thread.is_alive():
        look = Look(any_world.settings, full=True)
        Walk(look, mends=True).everything()
        look.close()
    thread.join()
    assert int(any_world.client.hget(any_world.keys.partition.counts, "lost") or 0) == 0
    with pytest.raises(SessionNotFound):
        store.get(ids[0])
    assert strays(any_redis_url) == []


def test_a_full_server_is_mended_as_far_as_it_goes(any_world: World) -> None:
    """What grows is refused, in one line; what shrinks is done; with room again all is."""
    client, keys = any_world.client, any_world.keys
    client.zadd(keys.index("owner", "nobody"), {any_world.live.id: 1})
    client.zrem(keys.partition.deadlines, keys.member(any_world.live.id))
    found = list(examine(any_world.settings, only=["indexes", "deadlines"], full=True))
    client.config_set("maxmemory", 1)
    done = list(mend(any_world.settings, found))
    assert all("out of memory" in each.failed for each in done)
    client.config_set("maxmemory", 0)
    assert [each.failed for each in mend(any_world.settings, found)] == ["", ""]
    assert [each for each in any_world.examine(*DRIFT) if each.severity != "ok"] == []


def test_constant_memory_and_progress(any_world: World) -> None:
    """A look at everything tells how far it is, and what it finds is kept by number, with few examples."""
    any_world.store.create_many([{"owner": "x"}] * 300)
    for key in any_world.client.scan_iter(match="sojourn:*:session:*"):
        any_world.client.persist(key)
    steps: list[tuple[int, int | None]] = []
    look = Look(any_world.settings, full=True, progress=lambda done, total: steps.append((done, total)))
    drift = Walk(look).everything()
    look.close()
    assert 302 <= drift.counts["ttl"] < 330, "SCAN may come to a key twice"
    assert len(drift.examples["ttl"]) == 3
    assert steps
    assert all(total is not None and done <= total for done, total in steps)


def test_nothing_is_done_for_what_cannot_be_mended(any_world: World) -> None:
    """Dangerous things are told only."""
    any_world.client.config_set("maxmemory-policy", "allkeys-lru")
    found = list(examine(any_world.settings, only=["memory", "persistence"]))
    assert list(mend(any_world.settings, found)) == []
    assert any_world.client.config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
