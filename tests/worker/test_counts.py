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

from sojourn import SessionStore
from sojourn.counts import DURATION_BOUNDS_S, LAG_BOUNDS_S
from sojourn.keys import Homes, PartitionKeys, TenantKeys, parse_event_id, worker_notes
from sojourn.metrics import read_metrics
from sojourn.metrics.tenant import TenantMetrics
from sojourn_worker.hooks import HookRun
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.sweep import Sweeper
from sojourn_worker.tries import standing

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
    for key in client.scan_iter(match=keys.session("*"), count=1000):
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
    soon_ms = (client.time()[0] + 1) * 1000  # what falls due in this very second would be told but not counted yet
    return not any(client.zcount(each.deadlines, "-inf", soon_ms) for each in settings.all_partitions)


def test_bounds_are_as_told() -> None:
    """The buckets of durations begin at a minute and double; those of lags at 10 ms."""
    assert DURATION_BOUNDS_S[:2] == (60, 120)
    assert (len(DURATION_BOUNDS_S), len(LAG_BOUNDS_S)) == (10, 15)


def test_runs_of_hooks_are_counted(any_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each event: well, failed, or cut off by the end of its process; a key of another type stops none."""
    monkeypatch.setenv("SOJOURN_REDIS_URL", any_redis_url)
    function = "tests.worker.hook_functions:fail_on_marked"
    settings = settings_for(any_redis_url, hooks={"watch": {"events": ["created"], "function": function}})
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url, decode_responses=True) as raw:
        made = store.create_many([{}] * 5)
        raw.sadd("marked", made[0].id, made[1].id)
        events = [each for each in store.peek_events(start="oldest").events if each.type == "created"]
        link = RedisLink(settings)
        outcome = HookRun(settings, link, "watch", settings.hooks["watch"], "job").run(events)
        assert (len(outcome.done), len(outcome.failed)) == (3, 2)
        found = read_metrics(settings).hooks["watch"]
        assert found.results == {"ok": 3, "failed": 2}
        assert found.durations.count == 5
        assert found.durations.sum_s > 0
        partition = PartitionKeys(parse_event_id(events[0].id)[0])
        raw.set(partition.running("sojourn.watch", outcome.failed[0]), "gone")
        standing(link, settings, "watch", events, "gone", blame="its process died")
        assert read_metrics(settings).hooks["watch"].results == {"ok": 3, "failed": 2, "died": 1}
        raw.delete(worker_notes("sojourn"))
        raw.set(worker_notes("sojourn"), "x")
        again = HookRun(settings, link, "watch", settings.hooks["watch"], "job").run(events)
        assert again.done == []
        assert read_metrics(settings).hooks == {}
        assert worker_notes("sojourn") in read_metrics(settings).odd_keys
        link.close()


def test_sweeps_tell_when_they_look(any_redis_url: str) -> None:
    """A sweeper notes that it has looked, how often it claimed, and that it failed."""
    settings = settings_for(any_redis_url)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url, decode_responses=True) as raw:
        store.create(ttl=0.001)
        eventually(lambda: store.metrics().expired_sessions == 1)
        link = RedisLink(settings)
        link.open()
        sweeper = Sweeper(settings, link)
        sweeper.step()
        found = read_metrics(settings)
        assert found.swept_at_s is not None
        assert abs(found.swept_at_s - time.time()) < 60
        assert (found.sweeps.runs, found.sweeps.recent_runs, found.sweeps.failures) == (1, 1, 0)
        assert store.metrics().cleanup_runs == 1
        partition = TenantKeys.of("default", settings.partitions).partition
        raw.delete(partition.removals)
        raw.zadd(partition.deadlines, {"default/x": 1})
        raw.delete(partition.events)
        raw.set(partition.events, "x")
        sweeper.step()
        found = read_metrics(settings)
        assert (found.sweeps.failures, found.sweeps.recent_failures) == (1, 1)
        assert store.metrics().cleanup_failures == 1
        link.close()
