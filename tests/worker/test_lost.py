"""Records that vanish, evicted or deleted by other hands, are told, counted and cleaned up after."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from tests.census import strays
from tests.conftest import OwnRedis
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn import Session, SessionStore, Settings
from sojourn.keys import TenantKeys
from sojourn_worker import config
from sojourn_worker.jobs import sweep


def _lost(store: SessionStore[Session]) -> list[str]:
    return [
        event.session_id for event in store.peek_events(start="oldest", limit=10_000).events if event.type == "lost"
    ]


def _keys(settings: Settings) -> TenantKeys:
    return TenantKeys.of("default", settings.partitions)


@pytest.fixture
def settings(any_redis_url: str) -> Settings:
    """Give settings for an empty Redis."""
    made = settings_for(any_redis_url)
    config.use(made)
    return made


@pytest.mark.parametrize("ttl", [600, None])
def test_the_backstop_finds_what_was_deleted_by_hand(settings: Settings, ttl: int | None) -> None:
    """DEL of a hash, of a session with a deadline or without: told and counted once, and nothing of it stays."""
    keys = _keys(settings)
    client: Any = redis.Redis.from_url(settings.redis_url, decode_responses=True)
    with client, SessionStore(settings=settings) as store:
        made = store.create_many([{"owner": "ada", "tags": ["x"]}] * 20, ttl=ttl)
        gone = [each.id for each in made[::4]]
        client.delete(*[keys.session(each) for each in gone])
        assert strays(settings.redis_url)
        for _ in range(3):
            sweep()
        assert sorted(_lost(store)) == sorted(gone)
        assert client.hget(keys.partition.counts, "lost") == str(len(gone))
        assert strays(settings.redis_url) == []
        assert store.count() == len(made) - len(gone)
        assert not client.exists(keys.partition.lost)


def test_odd_keys_hide_nothing(settings: Settings) -> None:
    """Indexes of another type, and members that are no ids: what else is lost is found all the same."""
    keys = _keys(settings)
    client: Any = redis.Redis.from_url(settings.redis_url)
    with client, SessionStore(settings=settings) as store, SessionStore(settings=settings, tenant="acme") as other:
        mine, theirs = store.create(), other.create()
        own = TenantKeys.of("acme", settings.partitions)
        client.zadd(keys.status_index("session", "pending"), {b"\xff": 1, "x": 1})
        client.sadd(keys.kinds, b"\xfe")
        client.set(keys.status_index("session", "failed"), "not an index")
        client.delete(keys.session(mine.id), own.session(theirs.id))
        sweep()
        assert _lost(store) == [mine.id]
        assert _lost(other) == [theirs.id]


def test_an_ended_one_was_not_lost(settings: Settings) -> None:
    """The hash of a session that had ended, and was archived, is deleted by hand: cleaned up, and not told as lost."""
    keys = _keys(settings)
    client: Any = redis.Redis.from_url(settings.redis_url, decode_responses=True)
    with client, SessionStore(settings=settings) as store:
        session = store.create(owner="ada")
        store.complete(session.id)
        client.zrem(keys.partition.dirty, keys.member(session.id))
        client.delete(keys.session(session.id))
        sweep()
        assert _lost(store) == []
        assert strays(settings.redis_url) == []


def test_an_evicted_record_is_told_at_once(own_redis: OwnRedis, processes: Processes) -> None:
    """A Redis that evicts: the listener hears of it, and each evicted session is told once; the indexes follow."""
    server = own_redis({"maxmemory-policy": "volatile-random"})
    settings = settings_for(server.url, backstop_interval=3600.0)
    listener = processes.role("listen", settings)
    listener.logged("listening")
    client: Any = redis.Redis.from_url(server.url, decode_responses=True)
    with client, SessionStore(settings=settings) as store:
        eventually(lambda: "e" in client.config_get("notify-keyspace-events")["notify-keyspace-events"])
        made = store.create_many([{"metadata": {"x": "y" * 2000}}] * 100, ttl=600)
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)
        eventually(lambda: client.info("stats")["evicted_keys"] > 5)
        client.config_set("maxmemory", 0)
        keys = _keys(settings)
        gone = {each.id for each in made if not client.exists(keys.session(each.id))}
        assert gone
        eventually(lambda: set(_lost(store)) == gone)
        assert len(_lost(store)) == len(gone)
        config.use(settings)
        sweep()
        assert strays(server.url) == []
        assert store.count() == 100 - len(gone)
