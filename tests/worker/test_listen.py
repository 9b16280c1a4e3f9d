"""Expiry: claimed by whoever hears of it or finds it, once."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from contextlib import closing

import pytest
import redis
from tests.conftest import OwnRedis
from tests.waiting import eventually
from tests.worker.processes import Processes, expired_events, settings_for

from sojourn import SessionNotFound, SessionStore, StoreUnavailable
from sojourn.codec import Models
from sojourn.operations.expiry import claim_due
from sojourn.settings import Settings
from sojourn_worker.listen import Listener
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.sweep import Sweeper

CLAIMER = """
import sys
from sojourn_worker import config
from sojourn_worker.listen import listen
from sojourn_worker.logs import set_up
from sojourn_worker.stop import Stop
settings = config.from_line(sys.stdin.buffer.readline())
set_up("listen", settings)
stop = Stop()
stop.install()
sys.exit(listen(settings, stop, notifications=sys.argv[1] == "notifications", sweep=sys.argv[1] == "sweep"))
"""


def _flags(client: redis.Redis) -> str:
    return str(client.config_get("notify-keyspace-events")["notify-keyspace-events"])


def _create(settings: Settings, count: int, ttl: float) -> list[str]:
    with SessionStore(settings=settings) as store:
        return [
            session.id
            for part in range(0, count, 250)
            for session in store.for_tenant(f"tenant{part}").create_many([{}] * min(250, count - part), ttl=ttl)
        ]


@pytest.mark.parametrize("way", ["sweep", "notifications"])
def test_eight_claimers_claim_a_thousand_expiries_once_each(redis_url: str, processes: Processes, way: str) -> None:
    """Eight processes with one of the two ways each: every expiry is told exactly once."""
    settings = settings_for(redis_url)
    claimers = [processes.python(CLAIMER, way, settings=settings) for _ in range(8)]
    for claimer in claimers:
        claimer.logged("listening")
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    ids = _create(settings, 1000, 1.0)
    eventually(lambda: len(expired_events(client, settings)) >= 1000, deadline_s=60)
    assert Counter(expired_events(client, settings)) == Counter(ids)
    assert sum(client.zcard(each.deadlines) for each in settings.all_partitions) == 0
    assert [claimer.stop() for claimer in claimers] == [0] * 8
    client.close()


@pytest.mark.parametrize("before", ["", "KEg", "KEA"])
def test_the_listener_keeps_the_flags_that_are_set(any_redis_url: str, processes: Processes, before: str) -> None:
    """The listener adds what it needs to notify-keyspace-events and takes nothing away."""
    client = redis.Redis.from_url(any_redis_url, decode_responses=True)
    client.config_set("notify-keyspace-events", before)
    before = _flags(client)
    listener = processes.role("listen", settings_for(any_redis_url))
    if before != "AKE":
        listener.tells("notifications switched on")
    listener.logged("listening")
    after = _flags(client)
    assert set(after) >= set(before)
    assert "E" in after
    assert "x" in after or "A" in after
    client.close()


def test_a_listener_that_may_not_configure_says_so(own_redis: OwnRedis, processes: Processes) -> None:
    """Where CONFIG is forbidden, the listener says what to set, and the sweeper claims."""
    server = own_redis({"rename-command": 'CONFIG ""'})
    settings = settings_for(server.url)
    listener = processes.role("listen", settings)
    listener.tells("notifications cannot be switched on")
    client = redis.Redis.from_url(server.url, decode_responses=True)
    _create(settings, 5, 0.1)
    eventually(lambda: len(expired_events(client, settings)) == 5)
    client.close()


@pytest.mark.parametrize("way", ["sweep", "notifications"])
def test_claims_go_on_after_a_restart_of_redis(
    own_redis: OwnRedis, redis_executable: str, processes: Processes, way: str
) -> None:
    """Redis restarts and forgets its settings and scripts: what falls due meanwhile and later is claimed."""
    server = own_redis({"appendonly": "yes"}, executable=redis_executable)
    settings = settings_for(server.url)
    claimer = processes.python(CLAIMER, way, settings=settings)
    claimer.logged("listening")
    ids = _create(settings, 50, 0.6)
    server.stop()
    claimer.tells("outage begins")
    server.restart()
    client = redis.Redis.from_url(server.url, decode_responses=True)
    eventually(lambda: len(expired_events(client, settings)) == 50, deadline_s=5)
    assert claimer.tells("outage ends")["duration_ms"] > 0
    ids += _create(settings, 50, 0.2)
    eventually(lambda: len(expired_events(client, settings)) == 100, deadline_s=5)
    assert Counter(expired_events(client, settings)) == Counter(ids)
    assert claimer.stop() == 0
    assert len(claimer.told("outage begins")) == 1
    client.close()


def test_a_forgotten_setting_is_noticed(own_redis: OwnRedis, processes: Processes) -> None:
    """Somebody switches notifications off: the listener switches them on again and claims what it missed."""
    server = own_redis()
    settings = settings_for(server.url)
    claimer = processes.python(CLAIMER, "notifications", settings=settings)
    claimer.logged("listening")
    client = redis.Redis.from_url(server.url, decode_responses=True)
    eventually(lambda: "x" in _flags(client))
    client.config_set("notify-keyspace-events", "")
    _create(settings, 5, 0.1)
    eventually(lambda: len(expired_events(client, settings)) == 5)
    client.close()


def test_a_touch_that_races_a_claim_wins_or_loses(redis_url: str, processes: Processes) -> None:
    """A session touched around its deadline is either extended or expired, never both."""
    settings = settings_for(redis_url)
    listener = processes.role("listen", settings)
    listener.logged("listening")
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    with SessionStore(settings=settings) as store:
        lost, won = set(), set()
        for wait_s in [0.090 + 0.001 * n for n in range(20)]:
            sessions = store.create_many([{}] * 5, ttl=0.1)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline:
                store.count(owner="nobody")  # something to wait with
            for session in sessions:
                try:
                    store.set_ttl(session.id, 300)
                    won.add(session.id)
                except SessionNotFound:
                    lost.add(session.id)
        eventually(lambda: len(set(expired_events(client, settings)) & lost) == len(lost))
        events = Counter(expired_events(client, settings))
        assert set(events) == lost
        assert set(events.values()) <= {1}
        assert all(store.get(each).is_live for each in won)
    client.close()


def test_many_keys_of_others_are_no_reason_to_sweep(any_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The channels tell of every key in the database; only many leases at once are swept."""
    settings = settings_for(any_redis_url)
    sweeps: list[str] = []
    monkeypatch.setattr(Sweeper, "sweep", lambda _: sweeps.append("swept"))
    with closing(RedisLink(settings)) as link:
        link.open()
        listener = Listener(settings, link)
        keys = settings.context(Models([])).keys
        listener._claim([f"{keys.prefix}rate:owner_operations:{number}".encode() for number in range(200)])
        assert sweeps == []
        listener._claim([keys.lease(str(uuid.uuid4())).encode() for _ in range(200)])
    assert sweeps == ["swept"]


def test_a_sweep_of_a_replica_says_that_redis_is_away(redis_url: str) -> None:
    """What a claim was refused for is told as it would be for any other call."""
    settings = settings_for(redis_url)
    with redis.Redis.from_url(redis_url) as client, closing(RedisLink(settings)) as link:
        link.open()
        _create(settings, 1, 0.001)
        partition = next(each for each in settings.all_partitions if client.exists(each.deadlines))
        claiming = claim_due(settings.context(Models([])), partition, 10, archived=False)
        eventually(lambda: not client.keys("*:lease:*"))
        client.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(StoreUnavailable):
                link.run(claiming)
        finally:
            client.replicaof("NO", "ONE")
        assert link.run(claiming).expired == 1
