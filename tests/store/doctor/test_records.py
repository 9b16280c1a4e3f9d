"""Sessions and what lists them: each disagreement is found and mended, and the census of the tests agrees."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.census import strays
from tests.store.doctor.conftest import World
from tests.waiting import eventually

from sojourn.doctor.look import Look
from sojourn.doctor.walk import Walk
from sojourn.keys import is_id
from sojourn.operations import drift
from sojourn.operations.expiry import claim_session
from sojourn.tenants.link import Link

Spoil = Callable[[World], Any]
NOBODY = str(uuid.UUID(int=uuid.uuid4().int))
HOUR_MS = 3_600_000


def _live(world: World) -> str:
    return world.keys.session(world.live.id)


def _ended(world: World) -> str:
    return world.keys.session(world.ended.id)


def _zadd(key: str, member: str, score: float = 1) -> Spoil:
    return lambda world: world.client.zadd(key.format(k=world.keys), {member.format(w=world): score})


def _zrem(key: str, member: str) -> Spoil:
    return lambda world: world.client.zrem(key.format(k=world.keys), member.format(w=world))


BREAKS: dict[str, tuple[str, str, Spoil]] = {
    "a record without TTL": ("ttls", "warning", lambda w: w.client.persist(_live(w))),
    "an ended record without TTL": ("ttls", "warning", lambda w: w.client.persist(_ended(w))),
    "a record that goes before its deadline": ("ttls", "warning", lambda w: w.client.expire(_live(w), 60)),
    "a log without TTL": ("ttls", "warning", lambda w: w.client.persist(w.keys.log(w.live.id, "lines"))),
    "an endless record with TTL": (
        "ttls", "warning",
        lambda w: [w.client.expire(w.keys.session(each.id), 60) for each in w.store.list(owner="eve").sessions],
    ),
    "no entry for the status": (
        "indexes", "warning", _zrem("{k.prefix}index:status:job:pending", "{w.live.id}")),
    "an entry for another status": (
        "indexes", "warning", _zadd("{k.prefix}index:status:job:failed", "{w.live.id}")),
    "an entry with another time": (
        "indexes", "warning", _zadd("{k.prefix}index:status:job:pending", "{w.live.id}", 5)),
    "an unknown kind": ("indexes", "warning", lambda w: w.client.srem(w.keys.kinds, "job")),
    "no entry for the owner": ("indexes", "warning", _zrem("{k.prefix}index:owner:ada", "{w.live.id}")),
    "no entry for a tag": ("indexes", "warning", _zrem("{k.prefix}index:tags:y", "{w.live.id}")),
    "an entry for another owner": ("indexes", "warning", _zadd("{k.prefix}index:owner:bob", "{w.live.id}")),
    "an entry for another tag": ("indexes", "warning", _zadd("{k.prefix}index:tags:z", "{w.live.id}")),
    "no deadline": ("deadlines", "error", _zrem("{k.partition.deadlines}", "default/{w.live.id}")),
    "another deadline": ("deadlines", "error", _zadd("{k.partition.deadlines}", "default/{w.live.id}", 9e12)),
    "a deadline of an ended one": (
        "deadlines", "error", _zadd("{k.partition.deadlines}", "default/{w.ended.id}", 9e12)),
    "no lease": ("deadlines", "warning", lambda w: w.client.delete(w.keys.lease(w.live.id))),
    "a lease that ends early": ("deadlines", "warning", lambda w: w.client.expire(w.keys.lease(w.live.id), 60)),
    "no removal": ("deadlines", "warning", _zrem("{k.partition.removals}", "default/{w.ended.id}")),
    "a removal of a live one": ("deadlines", "warning", _zadd("{k.partition.removals}", "default/{w.live.id}", 9e12)),
    "no place": ("places", "warning", lambda w: w.client.hdel(w.keys.places, w.live.id)),
    "another size": ("places", "warning", lambda w: w.client.hset(w.keys.places, w.live.id, "7/ada")),
    "another owner of a place": ("places", "warning", lambda w: w.client.hset(w.keys.places, w.live.id, "7/bob")),
    "a place of an ended one": ("places", "warning", lambda w: w.client.hset(w.keys.places, w.ended.id, "7/bob")),
    "not among the live ones": ("places", "warning", _zrem("{k.live}", "{w.live.id}")),
    "among the live ones": ("places", "warning", _zadd("{k.live}", "{w.ended.id}")),
    "among another owner's live ones": ("places", "warning", _zadd("{k.live}:eve", "{w.live.id}")),
    "another sum": ("places", "warning", lambda w: w.client.hincrby(w.keys.places, "/bytes", 5)),
    "a token that is not there": (
        "tokens", "warning", lambda w: w.client.zadd(w.keys.tokens(w.live.id), {"0" * 64: 9e12})),
    "a token that is not listed": (
        "tokens", "warning",
        lambda w: w.client.hset(w.keys.token(w.live.id), "1" * 64, "access 0123456789 9000000000000 ")),
    "a token of no family": (
        "tokens", "warning",
        lambda w: (w.client.hset(w.keys.token(w.live.id), "1" * 64, "refresh 0123456789 9000000000000 "),
                   w.client.zadd(w.keys.tokens(w.live.id), {"1" * 64: 9e12}))),
    "tokens of an ended one": (
        "tokens", "warning", lambda w: w.client.hset(w.keys.token(w.ended.id), "0" * 64, "access f 9000000000000 ")),
    "families of an ended one": (
        "tokens", "warning", lambda w: w.client.zadd(w.keys.families(w.ended.id), {"9000000000000:f": 1})),
    "a lease of nobody": ("strays", "warning", lambda w: w.client.set(w.keys.lease(NOBODY), "")),
    "a lease of an ended one": ("deadlines", "warning", lambda w: w.client.set(w.keys.lease(w.ended.id), "")),
    "a log of nobody": ("strays", "warning", lambda w: w.client.rpush(w.keys.log(NOBODY, "lines"), "x")),
    "a log that nobody knows": ("strays", "warning", lambda w: w.client.rpush(w.keys.log(w.live.id, "other"), "x")),
    "tokens of nobody": (
        "strays", "warning", lambda w: w.client.hset(w.keys.token(NOBODY), "1" * 64, "access f 9000000000000 ")),
    "a list of tokens of nobody": (
        "strays", "warning", lambda w: w.client.zadd(w.keys.tokens(NOBODY), {"0" * 64: 9e12})),
    "families of nobody": ("strays", "warning", lambda w: w.client.zadd(w.keys.families(NOBODY), {"1:f": 1})),
    "a token of an earlier layout": (
        "strays", "warning", lambda w: w.client.hset(w.keys.token("1" * 64), "session", w.live.id)),
    "an entry that is no session's": ("strays", "warning", _zadd("{k.partition.deadlines}", "x", 9e12)),
    "a record that is gone": ("missing", "warning", lambda w: w.client.delete(_live(w))),
    "an ended record that is gone": ("missing", "warning", lambda w: w.client.delete(_ended(w))),
    "an index entry of nobody": ("missing", "warning", _zadd("{k.prefix}index:owner:ada", NOBODY)),
    "a deadline of nobody": ("missing", "warning", _zadd("{k.partition.deadlines}", f"default/{NOBODY}", 9e12)),
    "a dirty entry of nobody": ("missing", "warning", _zadd("{k.partition.dirty}", f"default/{NOBODY}", 9e12)),
    "a removal of nobody": ("missing", "warning", _zadd("{k.partition.removals}", f"default/{NOBODY}", 9e12)),
    "a live one that is nobody": ("missing", "warning", _zadd("{k.live}", NOBODY)),
}  # fmt: skip
DRIFT = ("ttls", "indexes", "deadlines", "places", "tokens", "strays", "missing", "damaged")


@pytest.mark.parametrize("name", BREAKS)
def test_found_and_mended(any_world: World, any_redis_url: str, name: str) -> None:
    """It is found, mended, and nothing is wrong any more, as the census says as well."""
    check, severity, spoil = BREAKS[name]
    spoil(any_world)
    found = any_world.find(check)
    assert [each.severity for each in found] == [severity]
    assert found[0].fixable
    assert found[0].why
    any_world.mend(check)
    assert [each for each in any_world.examine(*DRIFT) if each.severity != "ok"] == []
    assert strays(any_redis_url) == []


def test_nothing_is_wrong_with_what_is_not_broken(world: World, redis_url: str) -> None:
    """Live, ended and endless sessions with logs, tokens and limits: not one finding, nor one of the census."""
    assert strays(redis_url) == []
    assert [each for each in world.examine(*DRIFT) if each.severity != "ok"] == []
    assert [each for each in world.examine(*DRIFT, full=False) if each.severity != "ok"] == []


def test_all_at_once(world: World, redis_url: str) -> None:
    """Everything broken, on each version of Redis: one call mends it; the other session is as it was."""
    other = world.store.create(owner="kim", tags=["x"])
    kept = world.client.hgetall(world.keys.session(other.id))
    for name, (_, _, spoil) in BREAKS.items():
        if "gone" not in name:
            spoil(world)
    for check in DRIFT:
        if world.find(check) and check != "damaged":
            world.mend(check)
    assert strays(redis_url) == []
    assert world.client.hgetall(world.keys.session(other.id)) == kept
    assert {each.id for each in world.store.list(owner="ada").sessions} == {world.live.id}
    assert world.store.get(world.live.id).tags == ("x", "y")


def test_what_is_gone_is_told_once(any_world: World) -> None:
    """A record that vanished is counted and told as lost, as a worker would; a second look finds nothing."""
    any_world.client.delete(_live(any_world))
    any_world.mend("missing")
    assert any_world.client.hget(any_world.keys.partition.counts, "lost") == "1"
    told = [fields["type"] for _, fields in any_world.client.xrange(any_world.keys.partition.events)]
    assert told.count("lost") == 1
    assert [each.severity for each in any_world.find("lost")] == ["warning"]


def test_damaged_records_are_left_to_a_person(any_world: World) -> None:
    """A field that cannot be so: a warning with the command that shows it; nothing is changed by --fix."""
    any_world.client.hset(_live(any_world), "version", "x")
    (found,) = any_world.find("damaged")
    assert (found.severity, found.fixable) == ("warning", False)
    assert any(_live(any_world) in each for each in found.commands)
    any_world.client.hset(_live(any_world), "version", "1")
    any_world.client.hincrby(any_world.keys.partition.counts, "damaged", 1)
    assert "were found damaged" in any_world.find("damaged")[0].found


def test_by_chance_is_enough_for_much(any_world: World) -> None:
    """Without --full some are looked at: what is wrong with many is found."""
    any_world.store.create_many([{"owner": f"o{number}"} for number in range(300)])
    for session in any_world.store.list(limit=200).sessions:
        any_world.client.persist(any_world.keys.session(session.id))
    assert [each.severity for each in any_world.find("ttls", full=False)] == ["warning"]


def test_overdue(any_world: World, any_redis_url: str) -> None:
    """Deadlines that have passed and that nobody claimed, without a worker; --fix claims them."""
    keys, client = any_world.keys, any_world.client
    past = int(client.time()[0] * 1000) - 60_000
    for name in ("expires_at_ms",):
        client.hset(_live(any_world), name, past)
    client.zadd(keys.partition.deadlines, {keys.member(any_world.live.id): past})
    client.delete(keys.lease(any_world.live.id))
    (found,) = any_world.find("overdue")
    assert (found.severity, found.fixable) == ("warning", True)
    assert "by 60 s" in found.found or "by 61 s" in found.found
    any_world.mend("overdue")
    assert client.hget(_live(any_world), "status") == "expired"
    assert strays(any_redis_url) == []
    hurried = any_world.settings.model_copy(update={"grace": timedelta(seconds=90)})
    other = any_world.store.create()
    client.zadd(keys.partition.deadlines, {keys.member(other.id): past})
    any_world.settings = hurried
    assert [each.severity for each in any_world.find("overdue")] == ["error"]


def test_a_session_that_goes_meanwhile_is_not_missed(any_world: World) -> None:
    """What is read from a list and gone by the time that it is looked at is no finding: the script asks again."""
    from sojourn.operations.drift import check_entries, check_sessions

    look = Look(any_world.settings)
    index = any_world.keys.index("owner", "ada")
    asked = check_sessions(look.context, any_world.keys, [NOBODY], mends=True)
    assert look.run(asked) == [()]
    assert look.run(check_entries(any_world.keys, index, [NOBODY], mends=True)) == ["fine"]
    assert any_world.client.smembers(any_world.keys.partition.lost) == set()
    look.close()


def test_a_lease_that_runs_out_is_no_drift(any_world: World) -> None:
    """Between a deadline and its claim there is neither lease nor finding."""
    made = any_world.store.create(ttl=0.001)
    eventually(lambda: not any_world.client.exists(any_world.keys.lease(made.id)))
    assert any_world.find("deadlines") == []
    look = Look(any_world.settings)
    look.run(claim_session(look.context, any_world.keys, made.id))
    look.close()
    assert any_world.examine(*DRIFT) == [each for each in any_world.examine(*DRIFT) if each.severity == "ok"]


def test_a_long_sum_is_added_up_in_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more places than one script adds up: found and mended, unless the sum moves on meanwhile."""
    monkeypatch.setattr(drift, "SUMMED_AT_ONCE", 0)
    assert [each.severity for each in world.examine("places")] == ["ok"]
    world.client.hincrby(world.keys.places, "/bytes", 5)
    told = int(world.client.hget(world.keys.places, "/bytes"))
    with Link(world.settings) as link:
        link.open()
        assert link.run(drift.check_total(world.keys, mends=True)) == "many"
        for summed in ((told - 1, 7), (told + 1, 7)):
            assert link.run(drift.check_total(world.keys, mends=True, summed=summed)) == "moved"
    assert [each.severity for each in world.find("places")] == ["warning"]
    world.mend("places")
    assert int(world.client.hget(world.keys.places, "/bytes")) == told - 5
    assert world.find("places") == []


def test_places_that_are_exchanged_while_they_are_added_up(any_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One goes, another of the same size comes, and a walk meets both: the sum is right, and stays as it is."""
    monkeypatch.setattr(drift, "SUMMED_AT_ONCE", 0)
    client, key, fields = any_world.client, any_world.keys.places, Walk._fields
    before = client.hget(key, "/bytes")

    def exchanging(walk: Walk, walked: str, command: str = "HSCAN") -> Iterator[list[str]]:
        yield from fields(walk, walked, command)
        gone = next(name for name in client.hkeys(key) if is_id(name))
        if walked == key and not exchanged:
            place = client.hget(key, gone)
            exchanged.append(NOBODY)
            client.hdel(key, gone)
            client.hset(key, NOBODY, place)
            yield [NOBODY, place]

    exchanged: list[str] = []
    monkeypatch.setattr(Walk, "_fields", exchanging)
    look = Look(any_world.settings)
    walk = Walk(look, mends=True)
    walk._total(any_world.keys)
    look.close()
    assert exchanged == [NOBODY]
    assert client.hget(key, "/bytes") == before
    assert walk.drift.counts == {}
