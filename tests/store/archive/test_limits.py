"""A tenant's limits where sessions come back from the archive, or go there."""

from __future__ import annotations

import pytest
import redis
from tests.census import strays
from tests.store.archive.helpers import keys_of, note

from sojourn import DocumentationSession, LimitExceeded, SessionStore, Settings, TenantLimits
from sojourn.archive import archive_once, rehydrate
from sojourn.tenants import delete, isolate

Store = SessionStore[DocumentationSession]


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
