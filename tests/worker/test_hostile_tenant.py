"""What a tenant with a login of its own writes into its partition: nobody takes it for others'.

That login can write any key with its partition's prefix. So it can tell there whatever it likes, also of others.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
import redis
from tests.waiting import eventually
from tests.worker.processes import settings_for

from sojourn import Session, SessionStore, Settings
from sojourn.archive import archive_once, init
from sojourn.dead import DeadLetters
from sojourn.doctor import examine
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.metrics import read_metrics
from sojourn.tenants import confine, delete, isolate, new_password
from sojourn_worker.dispatch import Dispatcher
from sojourn_worker.queues import HOOKS, connect, open_queue
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.replay import replay
from sojourn_worker.sweep import Sweeper

TYPES = ["created", "updated", "ended", "expired", "deleted"]
VICTIMS = ("isolated", "shared")


class Stage(NamedTuple):
    """A deployment with a hostile tenant, who has its own partition, and two others."""

    settings: Settings
    admin: Any
    hostile: Any
    """With the login of the tenant ``acme``."""
    victims: dict[str, Session]
    own: PartitionKeys


@pytest.fixture
def stage(redis_url: str, postgres_url: str) -> Iterator[Stage]:
    """Give the deployment, all of it archived and dispatched."""
    init(postgres_url)
    hooks = {"watch": {"events": TYPES, "function": "tests.worker.hook_functions:record"}}
    settings = settings_for(redis_url, archive_url=postgres_url, hooks=hooks)
    isolate(settings, "isolated")
    password = new_password()
    user = confine(settings, "acme", password=password)
    victims = {}
    for name in VICTIMS:
        with SessionStore(settings=settings, tenant=name) as store:
            victims[name] = store.create(owner="ada", metadata={"true": True})
    with SessionStore(settings=settings, tenant="acme") as store:
        store.create()
    archive_once(settings)
    dispatched(settings)
    url = redis_url.replace("redis://", f"redis://{user.user}:{password}@", 1)
    options: dict[str, Any] = {"decode_responses": True, "protocol": 2}
    with redis.Redis.from_url(url, **options) as hostile, redis.Redis.from_url(redis_url, **options) as admin:
        yield Stage(settings, admin, hostile, victims, PartitionKeys(user.partition or 0))


def dispatched(settings: Settings) -> list[dict[str, Any]]:
    """Return the events of the jobs that a dispatcher enqueues, and take the jobs away."""
    link, connection = RedisLink(settings), connect(settings)
    link.open()
    queue = open_queue(settings, HOOKS, connection)
    dispatcher = Dispatcher(settings, link, queue)
    while dispatcher.step():
        pass
    found = [event for job in queue.jobs for event in job.args[1]]
    queue.empty()  # type: ignore[no-untyped-call]
    link.close()
    connection.close()
    return found


def forged(session: Session, **more: str) -> dict[str, str]:
    """Return an event about a session as it is in an outbox."""
    return {
        "type": "deleted", "tenant": session.tenant, "id": session.id, "kind": "session", "version": "9",
        "at_ms": "1750000000000", "actor": "root", "trace": "", "changes": '{"status":"deleted"}', "before": "", **more,
    }  # fmt: skip


def forge_record(stage: Stage, session: Session, **more: str) -> TenantKeys:
    """Write another tenant's session into the hostile one's partition."""
    keys = TenantKeys(session.tenant, stage.own)
    source = next(stage.admin.scan_iter(f"sojourn:*:{session.tenant}:session:{session.id}"))
    stage.hostile.hset(keys.session(session.id), mapping={**stage.admin.hgetall(source), **more})
    return keys


def rows(settings: Settings, tenant: str) -> list[Any]:
    """Return all that the archive holds of a tenant."""
    found: list[Any] = []
    with psycopg.connect(str(settings.archive_url)) as connection:
        for table in ("sessions", "session_events", "session_entries", "audit"):
            query = f"SELECT to_jsonb(t)::text FROM sojourn.{table} AS t WHERE tenant = %s ORDER BY 1"  # noqa: S608
            found += connection.execute(query.encode(), (tenant,)).fetchall()
    return found


@pytest.mark.parametrize("victim", VICTIMS)
def test_events_are_told_to_no_hook_and_kept_by_no_archive(stage: Stage, victim: str) -> None:
    """Neither a session's events nor an operator's, in another's name; the tenant's own go on."""
    session, before = stage.victims[victim], rows(stage.settings, victim)
    for type_ in (*TYPES, "rotated", "token_issued", "limited"):
        stage.hostile.xadd(stage.own.events, forged(session, type=type_))
    told = {"type": "administered", "id": "", "changes": '{"action":"tenant.delete"}'}
    stage.hostile.xadd(stage.own.events, forged(session, **told))
    with SessionStore(settings=stage.settings, tenant="acme") as store:
        mine = store.create(owner="mine")
    assert {event["session_id"] for event in dispatched(stage.settings)} == {mine.id}
    report = archive_once(stage.settings)
    assert report.damaged == len(TYPES) + 4
    assert rows(stage.settings, victim) == before
    assert [each for each in rows(stage.settings, "acme") if mine.id in each[0]]


@pytest.mark.parametrize("victim", VICTIMS)
def test_records_are_archived_in_nobody_elses_name(stage: Stage, victim: str) -> None:
    """A forged record, later than the true one, that a forged member says has changed; and one that Redis has not."""
    session, before = stage.victims[victim], rows(stage.settings, victim)
    keys = forge_record(stage, session, owner="eve", version="99", updated_at_ms="4000000000000")
    unknown = str(uuid.uuid4())
    stage.hostile.zadd(stage.own.dirty, {keys.member(session.id): 1, keys.member(unknown): 1})
    archive_once(stage.settings)
    assert rows(stage.settings, victim) == before
    with SessionStore(settings=stage.settings, tenant=victim) as store:
        assert store.get(session.id) == session
    assert stage.admin.zcard(stage.own.dirty) == 0


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("key", ["deadlines", "removals"])
def test_what_is_due_is_nobody_elses(stage: Stage, victim: str, key: str) -> None:
    """Forged deadlines and removals, with a record or without: the true session lives, and nobody hears otherwise."""
    session, before = stage.victims[victim], rows(stage.settings, victim)
    keys = forge_record(stage, session, expires_at_ms="1", status="in_progress")
    stage.hostile.zadd(getattr(stage.own, key), {keys.member(each): 1 for each in (session.id, str(uuid.uuid4()))})
    link = RedisLink(stage.settings)
    Sweeper(stage.settings, link).sweep()
    link.close()
    assert dispatched(stage.settings) == []
    archive_once(stage.settings)
    assert rows(stage.settings, victim) == before
    with SessionStore(settings=stage.settings, tenant=victim) as store:
        assert store.get(session.id) == session


@pytest.mark.parametrize("victim", VICTIMS)
def test_dead_letters_replay_nothing_of_others(stage: Stage, victim: str) -> None:
    """A forged dead letter, by an event of its own partition or of another, is refused; and is no other tenant's."""
    session = stage.victims[victim]
    stage.hostile.hset(stage.own.counts, "dead_letters:sojourn.watch", 2)
    stream = stage.own.dead("sojourn.watch")
    for event_id in (f"{stage.own.number}-1750000000000-0", "00-1750000000000-0"):
        event = {
            "id": event_id, "type": "deleted", "tenant": session.tenant, "session_id": session.id, "kind": "session",
            "version": 9, "at_ms": 1750000000000, "actor": "", "trace_id": "", "changes": {}, "before": None,
        }  # fmt: skip
        entry = {"hook": "watch", "id": event_id, "event": json.dumps(event), "tries": "3", "reason": "", "at_ms": "1"}
        stage.hostile.xadd(stream, entry)
    with DeadLetters(stage.settings) as letters:
        assert letters.list(tenant=victim).letters == ()
        found = list(letters.each())
        assert len(found) == 2
        done = replay(stage.settings, found)
    assert (done.enqueued, len(done.refused)) == ([], 2)
    assert dispatched(stage.settings) == []


def test_an_odd_index_stops_no_sweep(stage: Stage) -> None:
    """What is due where an index is of another type is told as a failure; what is due of others is claimed."""
    keys = TenantKeys("acme", stage.own)
    with SessionStore(settings=stage.settings, tenant="acme") as store:
        store.create(ttl=0.001)
    with SessionStore(settings=stage.settings, tenant="shared") as store:
        store.create(ttl=0.001)
    stage.hostile.delete(keys.status_index("session", "pending"))
    stage.hostile.set(keys.status_index("session", "pending"), "x")
    link = RedisLink(stage.settings)
    eventually(lambda: Sweeper(stage.settings, link).sweep().expired == 1)
    link.close()
    assert int(stage.admin.hget(stage.own.sweeps, "failures")) == 1


def test_odd_keys_stop_nobody_else(stage: Stage) -> None:
    """Keys of another type, and numbers and moments that are none, in one partition: the others are served as ever."""
    own = stage.own
    stage.hostile.delete(own.events, own.dirty, own.deadlines, own.removals, own.counts, own.batches)
    for key in (own.events, own.dirty, own.deadlines, own.removals, own.counts, own.lost):
        stage.hostile.set(key, "x")
    for batches in ({"count": "9" * 40, "at": "0001-01-01"}, {"count": "-1", "at": "0001-01-01T00:00:00+00:00"}, None):
        stage.hostile.delete(own.batches)
        if batches is None:
            stage.hostile.set(own.batches, "x")
        else:
            stage.hostile.hset(own.batches, mapping=batches)
        stage.admin.delete("sojourn:checked")
        with SessionStore(settings=stage.settings, tenant="shared") as store:
            long, short = store.create(), store.create(ttl=0.001)
        link = RedisLink(stage.settings)
        eventually(lambda link=link: Sweeper(stage.settings, link).sweep().expired == 1)  # type: ignore[misc]
        link.close()
        told = {(each["session_id"], each["type"]) for each in dispatched(stage.settings)}
        assert told == {(short.id, "created"), (short.id, "expired"), (long.id, "created")}
        archive_once(stage.settings)
        assert [each for each in rows(stage.settings, "shared") if long.id in each[0]]
    assert {own.events, own.dirty, own.counts} <= set(read_metrics(stage.settings).odd_keys)
    assert [each for each in examine(stage.settings) if each.severity == "error"]


def test_a_tenant_with_odd_keys_can_be_deleted(stage: Stage) -> None:
    """Whatever it has put into its partition, it goes, and no other does."""
    own, keys = stage.own, TenantKeys("acme", stage.own)
    stage.hostile.delete(own.events, own.dirty, own.deadlines, own.removals, keys.kinds, keys.limits)
    for key in (own.events, own.dirty, own.deadlines, own.removals, own.lost, own.removed, keys.kinds, own.dead("x.y")):
        stage.hostile.set(key, "x")
    stage.hostile.hset(keys.limits, mapping={"erased:sessions": "9" * 5000, "moved": "101", "told": "x"})
    before = {name: rows(stage.settings, name) for name in VICTIMS}
    delete(stage.settings, "acme")
    assert not list(stage.admin.scan_iter(f"{own.prefix}*"))
    assert {name: rows(stage.settings, name) for name in VICTIMS} == before
