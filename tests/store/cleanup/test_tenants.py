"""A store cleans up its own tenant: no other's sessions are touched, nor told of."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from tests.drivers import StoreOpener
from tests.store.cleanup.test_due import let_pass, overdue
from tests.store.cleanup.test_inactive import aged
from tests.store.examples import JobSession, keys_of
from tests.store.test_isolation import MINE, THEIRS

from sojourn import SessionStore, Settings
from sojourn.tenants import confine, isolate, new_password

PASSWORD = new_password()


@pytest.fixture
def raw_any(any_redis_url: str) -> Any:
    """Give a plain client."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def is_expired(store: Any, raw: Any, session_id: str) -> bool:
    """Return whether a session was claimed; one that was may be removed by now."""
    return raw.hget(keys_of(store).session(session_id), "status") in ("expired", None)


@pytest.mark.parametrize("partitions", [1, 64])
def test_two_tenants_in_one_partition(open_any_store: StoreOpener, raw_any: Any, partitions: int) -> None:
    """The one claims, removes and ends its own, though the other's stand before, between and behind them."""
    mine, theirs = (
        open_any_store(JobSession, tenant=each, partitions=partitions, retention=0) for each in (MINE, THEIRS)
    )
    assert keys_of(mine).partition == keys_of(theirs).partition
    stale, not_mine = aged(mine, raw_any, 10), aged(theirs, raw_any, 10)
    own, others = ([each.id for each in store.create_many([{}] * 40)] for store in (mine, theirs))
    theirs.complete(kept := others.pop())
    mine.complete(gone := own.pop())
    for number, (one, other) in enumerate(zip(own, others, strict=True)):  # in turn, and some at one time
        let_pass(mine, raw_any, [one], 10**12 + number // 2)
        let_pass(theirs, raw_any, [other], 10**12 + number // 2)
    report = mine.expire_due()
    assert (report.expired, report.removed, report.failed) == (39, 40, 0)
    assert all(is_expired(mine, raw_any, each) for each in own)
    assert not any(is_expired(theirs, raw_any, each) for each in others)
    assert raw_any.exists(keys_of(theirs).session(kept))
    assert not raw_any.exists(keys_of(mine).session(gone))
    assert mine.cleanup_inactive(86_400).ids == (stale,)
    assert theirs.get(not_mine).is_live
    assert raw_any.hget(keys_of(theirs).stats, "cleanup|runs") is None
    assert theirs.expire_due().expired == 39


def test_many_of_others_stand_before(open_any_store: StoreOpener, raw_any: Any) -> None:
    """More of another's than one script looks at: the walk goes on behind them."""
    mine, theirs = (open_any_store(JobSession, tenant=each, partitions=1) for each in (MINE, THEIRS))
    own = [each.id for each in mine.create_many([{}] * 3)]
    others = [each.id for each in theirs.create_many([{}] * 600)]
    let_pass(theirs, raw_any, others, 10**12)
    let_pass(mine, raw_any, own, 10**12 + 1)
    assert mine.expire_due().expired == 3
    assert raw_any.zcount(keys_of(theirs).partition.deadlines, 10**12, 10**12) == 600


def test_a_tenant_with_a_partition_of_its_own(any_redis_url: str, raw_any: Any) -> None:
    """With a login that is confined to it: all of it works, and counts."""
    with SessionStore(any_redis_url, tenant=MINE, model=JobSession) as plain:
        before = plain.create(ttl=None).id
    isolate(Settings(redis_url=any_redis_url), MINE)
    user = confine(Settings(redis_url=any_redis_url), MINE, password=PASSWORD).user
    login = any_redis_url.replace("redis://", f"redis://{user}:{PASSWORD}@", 1)
    settings = Settings(redis_url=login, tenant=MINE, retention=0)
    with SessionStore(settings=settings, model=JobSession) as store:
        store.get(before)
        due = overdue(store, raw_any, 12)
        stale = aged(store, raw_any, 10)
        report = store.expire_due()
        assert (report.failed, len(due)) == (0, 12)
        assert store.count(status="expired") + report.removed >= 12
        assert store.cleanup_inactive(86_400).ids == (stale,)
        assert raw_any.hget(keys_of(store).stats, "cleanup|runs") == "2"


def test_a_tenant_that_moves(any_redis_url: str, raw_any: Any) -> None:
    """A store that was opened before the tenant got its own partition finds what is due there."""
    with SessionStore(any_redis_url, tenant=MINE, model=JobSession) as store:
        stale = aged(store, raw_any, 10)
        isolate(Settings(redis_url=any_redis_url), MINE)
        ids = store.for_tenant(MINE).cleanup_inactive(86_400).ids
        assert ids == (stale,) or store.cleanup_inactive(86_400).ids == (stale,)


def test_no_tenant_comes_back_by_being_cleaned_up(open_any_store: StoreOpener, raw_any: Any) -> None:
    """A tenant that has no sessions, or none any more, gets no key."""
    store = open_any_store(JobSession, tenant="nobody")
    store.expire_due()
    store.cleanup_inactive(3600)
    assert not list(raw_any.scan_iter("*nobody*"))
