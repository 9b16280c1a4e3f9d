"""How much memory of Redis a session takes, and what of it goes to which of the keys that belong to it."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import redis

from bench_calls import FIELDS, BenchSession
from sojourn import SessionStore
from sojourn.keys import TenantKeys
from sojourn.settings import Settings

__all__ = ["run"]

SESSIONS: Final = 10_000
OWNED: Final = 10
"""Sessions of one owner, where there are many owners: a small sorted set is packed, a large one is not."""
SESSION: Final = "session with lease and indexes"
EVENT: Final = "its event, until read"
DIRTY: Final = "its place in the archive's line, until archived"
OPERATION: Final = "its operation id, for 30 s"
_FILL: Final = 500


def run(url: str) -> dict[str, float]:
    """Bytes per session, of the bare hash and of all that belongs to a session; Redis at `url` is emptied.

    A session that the archive holds has its lease and its index entries. Each part begins with a dot.
    """
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    found: dict[str, float] = {}
    with contextlib.closing(client):
        setting = str(next(iter(client.config_get("hash-max-*-value"))))
        before = client.config_get(setting)[setting]
        try:
            for title, longest in (("", before), (", hash-max-listpack-value 1024", 1024)):
                client.config_set(setting, longest)
                client.flushall()
                record, parts = _parts(client, url, owners=1)
                passing = {name: parts.pop(name) for name in (EVENT, DIRTY, OPERATION)}
                found |= {f"bare hash{title}": _bare(client, record), f"{SESSION}{title}": sum(parts.values())}
                found |= {f". {name}{title}": each for name, each in parts.items()}
                found |= {f"{name}{title}": each for name, each in passing.items()}
            client.flushall()
            _, parts = _parts(client, url, owners=SESSIONS // OWNED)
            found[f". owner's index, if each has {OWNED} sessions"] = parts["owner's index"]
        finally:
            client.flushall()
            client.config_set(setting, before)
    return found


def _parts(client: Any, url: str, owners: int) -> tuple[dict[str, str], dict[str, float]]:
    """A record, and what it frees per session to delete this and that."""
    settings = Settings(redis_url=url, events_cap=10 * SESSIONS)
    with SessionStore(model=BenchSession, settings=settings, tenant="memory") as store:
        sample = store.create(ttl=3600, **FIELDS)  # with what there is once per tenant
        empty = _used(client)
        for start in range(0, SESSIONS, _FILL):
            numbers = range(start, min(start + _FILL, SESSIONS))
            store.create_many([FIELDS | {"owner": f"ada{n % owners}"} for n in numbers], ttl=3600)
    whole = _used(client) - empty
    keys = TenantKeys.of("memory", settings.partitions)
    record = client.hgetall(keys.session(sample.id))
    groups: dict[str, tuple[str, ...]] = {
        EVENT: (keys.partition.events,),
        OPERATION: (keys.partition.operations,),
        DIRTY: (keys.partition.dirty,),
        "deadline": (keys.partition.deadlines,),
        "kind's and status' index": (keys.status_index("bench", "pending"),),
        "owner's index": _scanned(client, keys.index("owner", "*")),
        "index of a field": (keys.index("region", FIELDS["region"]),),
        "index of two tags": tuple(keys.index("tags", tag) for tag in FIELDS["tags"]),
        "lease": _scanned(client, keys.lease("*")),
    }
    freed = {name: _freed(client, group) / SESSIONS for name, group in groups.items()}
    return record, {"record, with its TTL": whole / SESSIONS - sum(freed.values()), **freed}


def _scanned(client: Any, pattern: str) -> tuple[str, ...]:
    return tuple(client.scan_iter(match=pattern, count=1000))


def _freed(client: Any, keys: tuple[str, ...]) -> int:
    before = _used(client)
    for start in range(0, len(keys), _FILL):
        client.delete(*keys[start : start + _FILL])
    return before - _used(client)


def _bare(client: Any, record: dict[str, str]) -> float:
    client.flushall()
    empty = _used(client)
    for number in range(SESSIONS):
        client.hset(f"bare:{number:036}", mapping=record)
    return (_used(client) - empty) / SESSIONS


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory"])
