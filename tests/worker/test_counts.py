"""Counts against a census of their own: several clients and workers, some of them killed at any moment."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import Any

import pytest
import redis
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn.counts import DURATION_BOUNDS_S, LAG_BOUNDS_S
from sojourn.keys import Homes, TenantKeys
from sojourn.metrics import read_metrics
from sojourn.metrics.tenant import TenantMetrics

CLIENT = """
import random, sys
from contextlib import suppress
from sojourn import Session, SessionStore, SojournError
from sojourn_worker import config
settings = config.from_line(sys.stdin.buffer.readline())
made = []
with SessionStore(settings=settings, tenant=sys.argv[1], model=Session) as store:
    for turn in range(10**9):
        ttl = random.choice([0.02, 60, None])
        made.append(store.create(client_type=random.choice(["web", "app", None]), ttl=ttl).id)
        one = random.choice(made)
        with suppress(SojournError):
            random.choice([
                lambda: store.complete(one), lambda: store.fail(one), lambda: store.delete(one),
                lambda: store.update(one, client_type=random.choice(["web", "cli"])), lambda: store.touch(one),
                lambda: made.append(store.rotate_id(one).id),
            ])()
"""
ENDS = {"ended", "expired", "deleted"}


def _told(client: Any, keys: TenantKeys) -> tuple[int, Counter[str]]:
    """Return how many sessions the outbox says were created, and how they ended; each of its entries counts once."""
    created, ended, over = 0, Counter[str](), set()
    for _, fields in client.xrange(keys.partition.events):
        if fields["tenant"] != keys.tenant:
            continue
        created += fields["type"] == "created"
        if fields["type"] in ENDS and fields["id"] not in over:
            over.add(fields["id"])
            ended["deleted" if fields["type"] == "deleted" else json.loads(fields["changes"])["status"]] += 1
    return created, ended


def _census(client: Any, keys: TenantKeys) -> Counter[tuple[str, str]]:
    """Return the live records by kind and client type."""
    found: Counter[tuple[str, str]] = Counter()
    for key in client.scan_iter(match=keys.sessions + "*", count=1000):
        record = client.hgetall(key)
        if record.get("status") in ("pending", "in_progress"):
            found[record["kind"], record.get("client_type", "")] += 1
    return found


def _active(found: TenantMetrics) -> Counter[tuple[str, str]]:
    return Counter({(each.kind, each.client_type): each.active for each in found.labels if each.active})


@pytest.mark.timeout(120)
def test_counts_are_exact_whoever_is_killed(any_redis_url: str, processes: Processes) -> None:
    """Created, ended by status, live by type, durations and lags are what outbox and records say."""
    settings = settings_for(any_redis_url, events_cap=10**9, retention=600, log_level="warning")
    workers = [processes.role("listen", settings) for _ in range(2)]
    clients = [processes.python(CLIENT, tenant, settings=settings) for tenant in ("acme", "acme", "beta")]
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as raw:
        homes = Homes(settings.partitions)
        eventually(lambda: all(_told(raw, homes.of(each))[0] > 50 for each in ("acme", "beta")), deadline_s=60)
        for _ in range(3):
            time.sleep(random.uniform(0.02, 0.2))
            clients[0].popen.kill()
            workers[0].popen.kill()
            workers[0] = processes.role("listen", settings)
            clients[0] = processes.python(CLIENT, "acme", settings=settings)
        for each in clients:
            each.popen.kill()
        eventually(lambda: _nothing_is_due(raw, settings), deadline_s=60)
        for tenant in ("acme", "beta"):
            keys = homes.of(tenant)
            found = read_metrics(settings).tenants[tenant]
            created, ended = _told(raw, keys)
            assert found.created_sessions == created
            assert found.ended_sessions == dict(ended)
            assert _active(found) == _census(raw, keys)
            assert found.durations.count == sum(ended.values())
            assert found.expiry_lag.count == ended["expired"] == sum(found.claims.values())
            assert ended["expired"] > 0


def _nothing_is_due(client: Any, settings: Any) -> bool:
    now_ms = client.time()[0] * 1000
    return not any(client.zcount(each.deadlines, "-inf", now_ms) for each in settings.all_partitions)


def test_bounds_are_as_told() -> None:
    """The buckets of durations begin at a minute and double; those of lags at 10 ms."""
    assert DURATION_BOUNDS_S[:2] == (60, 120)
    assert (len(DURATION_BOUNDS_S), len(LAG_BOUNDS_S)) == (10, 15)
