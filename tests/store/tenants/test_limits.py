"""The limits of a tenant that is given a partition of its own while it is at work: they hold all the time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis
from tests.census import strays
from tests.drivers import KINDS, StoreOpener
from tests.waiting import eventually

from sojourn import LimitExceeded, Settings
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.tenants import isolate

OLD, NEW = TenantKeys.of("acme", 64), TenantKeys("acme", PartitionKeys(100))
BOTH = "return redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2])"


@pytest.mark.parametrize("policy", ["reject", "evict_lru"])
@pytest.mark.parametrize("kind", KINDS)
def test_limits_hold_on_the_way(redis_url: str, kind: str, policy: Any) -> None:
    """Creating without pause, one by one and several at a time: never one too many, no call fails for the move."""
    over, wrong, counts = threading.Event(), [], []

    def create(several: bool) -> None:
        with StoreOpener(kind, redis_url) as opener:
            store = opener(tenant="acme")
            while not over.is_set():
                try:
                    if several:
                        store.create_many([{"owner": "ada"}] * 2)
                    else:
                        store.complete(store.create().id)
                        store.create()
                except LimitExceeded:
                    pass
                except Exception as error:  # noqa: BLE001 - told below
                    wrong.append(error)

    with StoreOpener(kind, redis_url) as opener, redis.Redis.from_url(redis_url) as raw:
        opener(tenant="acme").set_tenant_limits(sessions=10, owner_sessions=6, policy=policy)
        threads = [threading.Thread(target=create, args=(several,)) for several in (True, False, True)]
        move = threading.Thread(target=lambda: isolate(Settings(redis_url=redis_url), "acme"))
        for each in threads:
            each.start()
        eventually(lambda: raw.zcard(OLD.live) > 3)
        move.start()
        while move.is_alive():
            counts.append(raw.eval(BOTH, 2, OLD.live, NEW.live))
        over.set()
        for each in threads:
            each.join()
        assert opener(tenant="acme").usage().sessions == raw.zcard(NEW.live)
    assert wrong == []
    assert 0 < max(counts) <= 10
    assert strays(redis_url) == []


def test_a_record_that_is_gone_takes_no_place_along(redis_url: str) -> None:
    """The place of a session that other hands deleted before the move counts no longer after it."""
    with StoreOpener("sync", redis_url) as opener, redis.Redis.from_url(redis_url) as raw:
        store = opener(tenant="acme")
        store.set_tenant_limits(sessions=2, owner_sessions=2)
        kept, gone = store.create(owner="ada"), store.create(owner="ada")
        raw.delete(OLD.session(gone.id))
        isolate(Settings(redis_url=redis_url), "acme")
        assert (store.usage().sessions, store.usage(owner="ada").sessions) == (1, 1)
        assert [each.id for each in store.list().sessions] == [kept.id]
        store.create(owner="ada")
        with pytest.raises(LimitExceeded):
            store.create(owner="ada")
