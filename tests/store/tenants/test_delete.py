"""Deleting a tenant: nothing of it is left, nothing of others is touched, and it can be killed anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import redis
from tests.census import strays
from tests.drivers import snapshot
from tests.store.cleanup.test_due import with_tokens
from tests.store.examples import JobSession
from tests.waiting import eventually

from sojourn import ArchiveUnavailable, InvalidInput, SessionNotFound, SessionStore, Settings, TenantClosed
from sojourn.archive import Audit, archive_once, init
from sojourn.keys import TenantKeys
from sojourn.tenants import confine, delete, isolate, list_tenants, new_password, show_tenant

NAMES = ("acme", "acme2", "acme.x", "other")
TABLES = ("session_entries", "session_events", "session_snapshots", "sessions")


@pytest.fixture
def raw_any(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def fill(settings: Settings, name: str, count: int = 30) -> list[str]:
    """Give a tenant sessions of every sort, a group, a token and a dead letter; return the sessions' ids."""
    with SessionStore(settings=settings, model=JobSession, tenant=name) as store:
        made = []
        for start in range(0, count, 500):
            some = range(start, min(count, start + 500))
            made += store.create_many([{"owner": f"o{n}", "tags": ["x"], "limit": n} for n in some])
        for each in made[::3]:
            store.append(each.id, JobSession.lines, "a", "b")
        for each in made[1::3]:
            store.complete(each.id)
        store.tokens.issue(made[0].id, refresh_ttl=None)
        list(store.events("billing", timeout=0))
        keys = store._context.keys
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        client.xadd(keys.partition.dead("sojourn.mail"), {"event": json.dumps({"tenant": name}), "id": "x"})
    return [each.id for each in made]


def left(client: Any, name: str) -> list[str]:
    """Return every key, member and entry in Redis that tells of a tenant, but for what tells of its deletion."""
    found = []
    for key in client.scan_iter(count=1000):
        if f":{name}:" in key or key.endswith(f":{name}"):
            found.append(key)
        kind = client.type(key)
        members: list[Any] = []
        if kind == "zset":
            members = client.zrange(key, 0, -1)
        elif kind == "set":
            members = list(client.smembers(key))
        elif kind == "hash":
            members = [*client.hgetall(key), *client.hgetall(key).values()]
        elif kind == "stream":
            members = [
                each["tenant"] for _, each in client.xrange(key)
                if each.get("tenant") == name and each["type"] != "administered"
            ]  # fmt: skip
            members += [each["event"] for _, each in client.xrange(key) if f'"{name}"' in each.get("event", "")]
            members += [each["name"] for each in client.xinfo_groups(key)]
        found += [f"{key} {each}" for each in members if each == name or str(each).startswith((f"{name}/", f"{name}:"))]
    return found


def administered(client: Any, name: str) -> list[dict[str, Any]]:
    """Return what is told of commands on a tenant."""
    return [
        json.loads(fields["changes"])
        for key in client.scan_iter("*:events")
        for _, fields in client.xrange(key)
        if fields["type"] == "administered" and fields["tenant"] == name
    ]


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("partitions", [1, 64])
def test_nothing_is_left_but_one_event(redis_url: str, isolated: bool, partitions: int) -> None:
    """A scan of all of Redis finds nothing of the tenant; all that others have is as it was, to the byte."""
    settings = Settings(redis_url=redis_url, partitions=partitions)
    for name in NAMES[1:]:
        fill(settings, name)
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        fill(settings, "acme")
        if isolated:
            confine(settings, "acme", password=new_password())
        others = {
            key: value for key, value in snapshot(client).items() if any(f":{each}:" in key for each in NAMES[1:])
        }
        assert left(client, "acme")
        planned = delete(settings, "acme", dry_run=True)
        report = delete(settings, "acme", actor="ada")
        assert left(client, "acme") == []
        (told,) = administered(client, "acme")
        assert told == {"action": "tenant.delete", **report.to_json()}
        assert (report.sessions, report.logs, report.groups, report.tokens, report.dead_letters) == (
            30, 10, 1 + isolated, 1, 1,
        )  # fmt: skip
        assert report.events >= 30
        assert report.user is isolated
        assert (planned.sessions, planned.logs, planned.groups, planned.tokens) == (30, 10, 1 + isolated, 1)
        assert [each for each in client.acl_users() if each != "default"] == []
        after = snapshot(client)
        assert {key: after.get(key) for key in others} == others
        for name in NAMES[1:]:
            assert client.sismember("sojourn:tenants", name)
    assert strays(redis_url) == []
    with pytest.raises(InvalidInput, match="no tenant"):
        delete(settings, "acme")
    with SessionStore(settings=settings, tenant="acme") as store:  # the name is free again
        store.create()


def test_a_dry_run_removes_nothing(any_redis_url: str, raw_any: Any) -> None:
    """It tells what would go, and not a byte is changed."""
    settings = Settings(redis_url=any_redis_url)
    fill(settings, "acme")
    before = snapshot(raw_any)
    report = delete(settings, "acme", dry_run=True)
    assert (report.dry_run, report.sessions) == (True, 30)
    assert snapshot(raw_any) == before
    with pytest.raises(InvalidInput):
        delete(settings, "nobody", dry_run=True)


def rows(url: str, name: str) -> dict[str, int]:
    """Return how many rows each table has of a tenant."""
    with psycopg.connect(url) as sql:
        return {
            each: sql.execute(f"SELECT count(*) FROM sojourn.{each} WHERE tenant = %s", [name]).fetchall()[0][0]  # noqa: S608
            for each in TABLES
        }


def test_the_archive_forgets_it_too(any_redis_url: str, postgres_url: str, raw_any: Any) -> None:
    """All rows of the tenant go, counted by table; those of a neighbour stay; list and show tell of both."""
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    init(postgres_url)
    for name in ("acme", "acme2"):
        fill(settings, name)
    archive_once(settings)
    fill(settings, "acme", 3)
    summaries = {each.tenant: each for each in list_tenants(settings)}
    assert (summaries["acme"].archived, summaries["acme"].live, summaries["acme"].isolated) == (30, 22, False)
    shown = show_tenant(settings, "acme")
    assert shown.dirty == 3
    assert shown.groups == ("billing",)
    assert shown.counts == {"job": {"pending": 22, "completed": 1}} or shown.summary.ended > 0
    before = {name: rows(postgres_url, name) for name in ("acme", "acme2")}
    report = delete(settings, "acme")
    assert {each: report.archive[each] for each in TABLES} == before["acme"]
    assert report.archive["sessions"] == 30
    assert rows(postgres_url, "acme") == dict.fromkeys(TABLES, 0)
    assert rows(postgres_url, "acme2") == before["acme2"]
    assert left(raw_any, "acme") == []
    archive_once(settings)  # what other runs had in hand does not bring it back
    assert rows(postgres_url, "acme")["sessions"] == 0


_DELETE = "import sys, json; from sojourn import Settings; from sojourn.tenants import delete; "
_DELETE += "delete(Settings(**json.loads(sys.argv[1])), 'acme')"


@pytest.mark.parametrize("isolated", [False, True])
def test_killed_anywhere_it_goes_on(any_redis_url: str, postgres_url: str, raw_any: Any, isolated: bool) -> None:
    """SIGKILL again and again, each time further on: the last call's totals are those of all."""
    given = {"redis_url": any_redis_url, "archive_url": postgres_url}
    settings = Settings(**given)  # type: ignore[arg-type]
    init(postgres_url)
    fill(settings, "acme", 2_000)
    fill(settings, "acme2")
    archive_once(settings)
    fill(settings, "acme", 1_000)
    if isolated:
        isolate(settings, "acme")
    keys = TenantKeys.of("acme", 64) if not isolated else TenantKeys("acme", type(TenantKeys.of("a", 1).partition)(100))
    sessions = len(list(raw_any.scan_iter(f"{keys.prefix}session:*", count=5000)))
    outboxes = [raw_any.xrange(key) for key in raw_any.scan_iter("*:events")]
    events = sum(fields["tenant"] == "acme" for entries in outboxes for _, fields in entries)
    archived = rows(postgres_url, "acme")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def erased(name: str) -> int:
        return int(raw_any.hget(keys.limits, f"erased:{name}") or 0)

    stages = [
        lambda: raw_any.hexists(keys.limits, "closed"), lambda: erased("sessions") >= 400,
        lambda: erased("sessions") >= sessions, lambda: erased("events") > 0,
        lambda: rows(postgres_url, "acme") != archived,
    ]  # fmt: skip
    for reached in stages:
        process = subprocess.Popen([sys.executable, "-c", _DELETE, json.dumps(given)], env=environment)
        eventually(lambda reached=reached: reached() or process.poll() is not None, deadline_s=60)  # type: ignore[misc] # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait()
    with suppress(InvalidInput):  # the last one may have been at its end when it was killed
        delete(settings, "acme")
    (told,) = [each for each in administered(raw_any, "acme") if each["action"] == "tenant.delete"]
    assert told["sessions"] == sessions
    assert told["events"] == events
    assert {each: told["archive"][each] for each in TABLES} == archived
    assert left(raw_any, "acme") == []
    assert rows(postgres_url, "acme") == dict.fromkeys(TABLES, 0)
    assert strays(any_redis_url) == []


def test_a_store_that_knew_its_partition_does_not_fill_it_again(any_redis_url: str, raw_any: Any) -> None:
    """Nobody would sweep or archive what it created there: it finds the place that the name has now."""
    settings = Settings(redis_url=any_redis_url)
    isolate(settings, "acme")
    with SessionStore(settings=settings, tenant="acme") as store:
        store.create()
        delete(settings, "acme")
        made = store.create(owner="ada")
        assert raw_any.keys("sojourn:{100}:*") == []
        assert store.get(made.id) == made
        assert raw_any.sismember("sojourn:tenants", "acme")


def test_clients_meanwhile(any_redis_url: str, raw_any: Any) -> None:
    """Those that create are told that the tenant is being deleted; all else finds nothing any more; none does harm."""
    settings = Settings(redis_url=any_redis_url)
    ids = fill(settings, "acme", 1_500)
    began, done = threading.Event(), threading.Event()
    wrong: list[BaseException] = []
    closed: list[int] = []

    def work(seed: int) -> None:
        with SessionStore(settings=settings, model=JobSession, tenant="acme") as store:
            index = seed
            while not done.is_set():
                index = (index + 11) % len(ids)
                try:
                    with suppress(SessionNotFound):
                        store.get(ids[index])
                        store.touch(ids[index])
                    if not closed:
                        began.set()
                        store.create(limit=1)
                except TenantClosed:
                    closed.append(seed)
                except Exception as error:  # noqa: BLE001
                    if "has ended" not in str(error):
                        wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    began.wait()
    report = delete(settings, "acme")
    done.set()
    for each in threads:
        each.join()
    assert not wrong
    assert report.sessions >= len(ids)
    assert [each for each in left(raw_any, "acme") if ":session:" in each] == [] or not closed


@pytest.mark.parametrize("isolated", [False, True])
def test_the_audit_trail_keeps_what_was_not_archived(any_redis_url: str, postgres_url: str, isolated: bool) -> None:
    """What happened since the last archive run is told of all the same, once, before the deletion."""
    init(postgres_url)
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    if isolated:
        isolate(settings, "acme", actor="ada")
    with SessionStore(settings=settings, model=JobSession, tenant="acme") as store:
        store.set_tenant_limits(sessions=9)
        made = store.create(owner="ada")
        archive_once(settings)
        store.delete(made.id)
        delete(settings, "acme", actor="mallory")
    archive_once(settings)
    trail = Audit(settings, tenant="acme")
    told = [each.action for each in reversed(trail.list().entries)]
    assert told == [*["tenant.isolate"] * isolated, "tenant.limits", "created", "deleted", "tenant.delete"]
    assert trail.verify().is_sound


def test_without_the_archive_nothing_goes(any_redis_url: str, raw_any: Any) -> None:
    """An archive that is away is noticed before the first session is removed."""
    settings = Settings(redis_url=any_redis_url)
    fill(settings, "acme")
    before = snapshot(raw_any)
    with pytest.raises(ArchiveUnavailable):
        delete(settings.model_copy(update={"archive_url": "postgresql://u:p@127.0.0.1:1/none"}), "acme")
    assert snapshot(raw_any) == before


def test_who_may_not_see_users_is_told(any_redis_url: str, raw_any: Any) -> None:
    """With such a login nobody knows whether the tenant's own is gone; one that shares its partition has none."""
    settings = Settings(redis_url=any_redis_url)
    for name in ("acme", "other"):
        fill(settings, name, 3)
    user = confine(settings, "acme", password=new_password()).user
    raw_any.acl_setuser("blind", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", "-acl"])
    blind = Settings(redis_url=any_redis_url.replace("redis://", "redis://blind:p@", 1))
    for name, expected in (("acme", None), ("other", False)):
        assert delete(blind, name, dry_run=True).user is expected
        assert delete(blind, name).user is expected
    assert user in raw_any.acl_users()


def test_sessions_with_many_tokens(any_redis_url: str, raw_any: Any) -> None:
    """The report counts them all, and so does a dry run."""
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings, model=JobSession, tenant="acme") as store:
        ids = [each.id for each in store.create_many([{}] * 8)]
        with_tokens(store, raw_any, ids, 600)
    assert delete(settings, "acme", dry_run=True).tokens == 8 * 600
    report = delete(settings, "acme")
    assert (report.sessions, report.tokens) == (8, 8 * 600)
    assert left(raw_any, "acme") == []
