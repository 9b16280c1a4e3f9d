"""How much memory of Redis a session takes, with all that belongs to it."""

from __future__ import annotations

import contextlib
from typing import Any

import redis

from bench_calls import FIELDS, BenchSession
from sojourn import SessionStore
from sojourn.keys import TenantKeys
from sojourn.settings import Settings

__all__ = ["run"]

SESSIONS = 10_000


def run(url: str) -> dict[str, float]:
    """Bytes per session: the bare hash, with lease and indexes, with its event too; and with longer listpacks."""
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    settings = Settings(redis_url=url)
    found: dict[str, float] = {}
    with contextlib.closing(client), SessionStore(model=BenchSession, settings=settings, tenant="memory") as store:
        for title, longest in (("", 64), (", hash-max-listpack-value 1024", 1024)):
            client.config_set(_listpack_setting(client), longest)
            client.flushall()
            store = SessionStore(model=BenchSession, settings=settings, tenant="memory")
            sample = store.create(ttl=3600, **FIELDS)
            keys = TenantKeys.of("memory", settings.partitions)
            record = client.hgetall(keys.session(sample.id))
            empty = _used(client)
            for start in range(0, SESSIONS, 500):
                store.create_many([FIELDS] * min(500, SESSIONS - start), ttl=3600)
            whole = _used(client) - empty
            events = client.xlen(keys.partition.events)
            with_events = client.memory_usage(keys.partition.events, samples=0) or 0
            operations = client.memory_usage(keys.partition.operations, samples=0) or 0
            client.flushall()
            empty = _used(client)
            for number in range(SESSIONS):
                client.hset(f"bare:{number:036}", mapping=record)
            bare = _used(client) - empty
            found |= {
                f"bare hash{title}": bare / SESSIONS,
                f"session with lease and indexes{title}": (whole - with_events - operations) / SESSIONS,
                f"its event, until read{title}": with_events / events,
                f"its operation id, for 30 s{title}": operations / SESSIONS,
            }
    client.flushall()
    client.config_set(_listpack_setting(client), 64)
    return found


def _listpack_setting(client: Any) -> str:
    names = client.config_get("hash-max-*-value")
    return str(next(iter(names)))


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory"])
