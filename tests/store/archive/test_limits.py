"""A tenant's limits where sessions come back from the archive, or go there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest
import redis
from tests.census import strays
from tests.store.archive.helpers import keys_of, note

from sojourn import DocumentationSession, LimitExceeded, SessionStore, Settings, TenantLimits
from sojourn.archive import archive_once, rehydrate
from sojourn.archive.database import connected
from sojourn.archive.tenants import copy_tenants
from sojourn.codec import Models
from sojourn.keys import CHECKED
from sojourn.operations.core import Operation
from sojourn.operations.quotas import set_limits_flow
from sojourn.tenants import delete, isolate
from sojourn.transport.blocking import Transport

Store = SessionStore[DocumentationSession]
Query = Callable[..., list[tuple[Any, ...]]]
LIMITS = "SELECT limits ->> 'sessions' FROM sojourn.tenants WHERE tenant = 'default'"


def test_what_was_evicted_is_archived(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """A session that ended to make room is archived as any other, with its end and its event."""
    store.set_tenant_limits(sessions=1, policy="evict_lru")
    first = store.create(workspace_id="w", module_name="m", owner="ada")
    store.create(workspace_id="w", module_name="m")
    archive_once(settings)
    assert store.archive.get(first.id).end_reason == "evicted"
    assert [event.type for event in store.archive.history(first.id)] == ["created", "ended"]
    assert not raw.exists(keys_of().session(first.id))


@pytest.mark.parametrize("ended", ["terminated", "gone"])
def test_a_restored_session_needs_a_place(store: Store, settings: Settings, raw: redis.Redis, ended: str) -> None:
    """What is made live again counts, with its logs: at the limit it is refused, and then nothing is changed."""
    store.set_tenant_limits(sessions=1, owner_sessions=1, bytes=2_000)
    first = store.create(workspace_id="w", module_name="m", owner="ada")
    store.append(first.id, DocumentationSession.notes, *[note(str(number)) for number in range(5)])
    size = store.usage().bytes
    store.complete(first.id)
    archive_once(settings)
    if ended == "gone":
        raw.delete(keys_of().session(first.id))
    second = store.create(workspace_id="w", module_name="m", owner="ada")
    with pytest.raises(LimitExceeded) as refused:
        store.restore(first.id)
    assert refused.value.limit == "owner_sessions"
    store.update(second.id, owner="grace")
    with pytest.raises(LimitExceeded) as refused:
        store.restore(first.id)
    assert refused.value.limit == "sessions"
    store.set_tenant_limits(sessions=5, bytes=size)
    with pytest.raises(LimitExceeded) as refused:
        store.restore(first.id)
    assert refused.value.limit == "bytes"
    store.complete(second.id)
    assert store.restore(first.id).is_live
    assert store.restore(first.id).is_live
    assert (store.usage().sessions, store.usage(owner="ada").sessions, store.usage().bytes) == (1, 1, size)
    assert strays(settings.redis_url) == []


def test_a_restored_session_evicts(store: Store, settings: Settings) -> None:
    """With `evict_lru` another one goes for it."""
    store.set_tenant_limits(sessions=1, policy="evict_lru")
    first = store.create(workspace_id="w", module_name="m")
    store.complete(first.id)
    archive_once(settings)
    second = store.create(workspace_id="w", module_name="m")
    store.restore(first.id)
    assert store.get(second.id).end_reason == "evicted"
    assert store.usage().sessions == 1


def test_limits_outlive_redis(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """After a disaster limits come back with the sessions, and each of these has its place again."""
    limits = {"sessions": 3, "owner_sessions": 2, "bytes": 100_000, "creates": "100/s:50", "policy": "reject"}
    store.set_tenant_limits(**limits)
    store.set_tenant_limits(policy="evict_lru")
    store.set_tenant_limits(policy="reject")
    other = store.for_tenant("acme")
    other.set_tenant_limits(operations="1000/s")
    other.create(workspace_id="w", module_name="m")
    made = [store.create(workspace_id="w", module_name="m", owner=owner, ttl=600) for owner in ("ada", "ada", None)]
    store.append(made[0].id, DocumentationSession.notes, note("a.py"), note("b.py"))
    before = store.usage()
    archive_once(settings)
    raw.flushall()
    rehydrate(settings)
    assert store.usage() == before
    assert before.limits == TenantLimits(**limits)
    assert strays(settings.redis_url) == []
    assert other.tenant_limits() == TenantLimits(operations="1000/s")
    with pytest.raises(LimitExceeded):
        store.create(workspace_id="w", module_name="m")
    for each in made:
        store.complete(each.id)
    assert (store.usage().sessions, store.usage().bytes) == (0, 0)


def test_newer_limits_stay(store: Store, settings: Settings) -> None:
    """Limits that Redis has are not overwritten by what the archive knows."""
    store.set_tenant_limits(sessions=3)
    store.create(workspace_id="w", module_name="m")
    archive_once(settings)
    store.set_tenant_limits(sessions=7)
    rehydrate(settings)
    assert store.tenant_limits() == TenantLimits(sessions=7)


def test_partitions_outlive_redis(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """A tenant with a partition of its own gets the same one again, and its sessions and limits are there."""
    isolate(settings, "acme")
    other = store.for_tenant("acme")
    other.set_tenant_limits(sessions=2)
    made = other.create(workspace_id="w", module_name="m", owner="ada", ttl=600)
    archive_once(settings)
    raw.flushall()
    rehydrate(settings)
    assert raw.exists("sojourn:{100}:acme:session:" + made.id)
    with SessionStore(settings=settings, model=DocumentationSession, tenant="acme") as again:
        assert again.get(made.id).owner == "ada"
        assert again.usage().sessions == 1
    assert strays(settings.redis_url) == []


def test_a_deleted_tenant_is_forgotten(store: Store, settings: Settings) -> None:
    """Nothing brings back the limits of a tenant that was deleted."""
    store.set_tenant_limits(sessions=2)
    store.create(workspace_id="w", module_name="m")
    archive_once(settings)
    store.set_tenant_limits(sessions=3)
    delete(settings, "default")
    archive_once(settings)
    rehydrate(settings)
    with SessionStore(settings=settings, model=DocumentationSession) as again:
        assert again.tenant_limits() == TenantLimits()


def test_a_run_before_the_change(store: Store, settings: Settings, query: Query, raw: redis.Redis) -> None:
    """A run that takes the mark, but comes too early for the change, is made good by the one that hears of it."""
    with closing(Transport(settings)) as transport:
        flow = set_limits_flow(settings.context(Models([])).of(keys_of()), {"sessions": 4})
        operation = next(flow)
        operation.parse(transport.execute([operation])[0])
        archive_once(settings)
        assert raw.exists("sojourn:tenants:changed", "sojourn:tenants:copied") == 0
        operation = flow.send(None)
        operation.parse(transport.execute([operation])[0])
    archive_once(settings)
    assert query(LIMITS) == [("4",)]


def test_an_older_copy_never_wins(store: Store, settings: Settings, query: Query, raw: redis.Redis) -> None:
    """Of two runs that copy a tenant, one that read it earlier does not write later, nor take away the other's mark."""
    store.set_tenant_limits(sessions=1)
    changed = False
    url, timeout = str(settings.archive_url), settings.archive_timeout
    with closing(Transport(settings)) as transport, connected(url, timeout) as one, connected(url, timeout) as other:

        def execute(operations: Sequence[Operation[Any]]) -> list[list[Any]]:
            nonlocal changed
            replies = transport.execute(operations)
            if not changed and operations[0].commands[0] == ("HGETALL", keys_of().limits):
                changed = True
                store.set_tenant_limits(sessions=2)
                copy_tenants(settings, transport.execute, other)
            return replies

        assert copy_tenants(settings, execute, one) == 1
        assert changed
        copy_tenants(settings, transport.execute, one)
    assert query(LIMITS) == [("2",)]
    assert raw.exists("sojourn:tenants:changed", "sojourn:tenants:copied") == 0


def test_more_tenants_than_one_copy_takes(settings: Settings, query: Query, raw: redis.Redis) -> None:
    """All that have changed are copied by one run, though nothing else waits."""
    with SessionStore(settings=settings, model=DocumentationSession) as store:
        for number in range(520):
            store.for_tenant(f"t{number}").set_tenant_limits(sessions=number + 1)
    archive_once(settings)
    raw.sadd("sojourn:tenants:changed", *(f"t{number}" for number in range(520)))
    assert len(query("DELETE FROM sojourn.tenants RETURNING 1")) == 520
    archive_once(settings)
    assert raw.exists("sojourn:tenants:changed") == 0
    assert query("SELECT count(*) FROM sojourn.tenants") == [(520,)]


def test_limits_set_after_a_disaster(store: Store, settings: Settings, raw: redis.Redis, query: Query) -> None:
    """Limits that are set in a Redis that lost its data do not have the archive forget a tenant's partition."""
    isolate(settings, "acme")
    store.for_tenant("acme").create(workspace_id="w", module_name="m", ttl=600)
    archive_once(settings)
    raw.flushall()
    with SessionStore(settings=settings, model=DocumentationSession, tenant="acme") as early:
        early.set_tenant_limits(sessions=5)
        early.set_tenant_limits(sessions=None)
    archive_once(settings)
    assert query("SELECT partition FROM sojourn.tenants WHERE tenant = 'acme'") == [(100,)]
    rehydrate(settings)
    assert raw.hget("sojourn:isolated", "acme") == "100"


def test_a_half_deleted_tenant_is_left_out(store: Store, settings: Settings, raw: redis.Redis, query: Query) -> None:
    """One tenant that is being deleted does not keep the others from being put back; nor is it copied again."""
    isolate(settings, "acme")
    other = store.for_tenant("acme")
    other.set_tenant_limits(sessions=2)
    made = store.create(workspace_id="w", module_name="m", ttl=600)
    other.create(workspace_id="w", module_name="m", ttl=600)
    archive_once(settings)
    raw.flushall()
    raw.hset("sojourn:{40}:acme:limits", "closed", "2026-01-01T00:00:00+00:00")
    rehydrate(settings)
    assert raw.exists(keys_of().session(made.id))
    assert raw.keys("*acme:session*") == []
    query("DELETE FROM sojourn.tenants WHERE tenant = 'acme' RETURNING 1")
    raw.sadd("sojourn:tenants:changed", "acme")
    archive_once(settings)
    assert query("SELECT 1 FROM sojourn.tenants WHERE tenant = 'acme'") == []


def test_an_older_copy_without_the_partition(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Redis restored from before a tenant had its own partition: that comes back with what was archived from it."""
    store.create(workspace_id="w", module_name="m", ttl=600)
    archive_once(settings)
    older = set(raw.keys())
    isolate(settings, "acme")
    made = store.for_tenant("acme").create(workspace_id="w", module_name="m", ttl=600)
    archive_once(settings)
    raw.delete(*(set(raw.keys()) - older), CHECKED)
    archive_once(settings)
    assert raw.hget("sojourn:isolated", "acme") == "100"
    assert raw.exists("sojourn:{100}:acme:session:" + made.id)
