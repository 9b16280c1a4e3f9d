"""What Redis has after the load, held against what was acknowledged; read by redis-py alone, not by the library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis

from load_session import TENANT, Known
from sojourn.doctor import examine
from sojourn.keys import TenantKeys
from sojourn.settings import Settings

__all__ = ["drift", "lost", "sessions"]

_AT_ONCE: Final = 1_000
_READ: Final = ("status", "version", "hits", "executions")
_LIVE: Final = ("pending", "in_progress")
_CHECKS: Final = ("ttls", "indexes", "deadlines", "tokens", "strays", "missing", "damaged")


def lost(settings: Settings, known: Mapping[str, Known]) -> Counter[str]:
    """What is not there as it was acknowledged, in words, and how often."""
    found: Counter[str] = Counter()
    keys = TenantKeys.of(TENANT, settings.partitions)
    ids = list(known)
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            with client.pipeline(transaction=False) as pipe:
                for session_id in some:
                    pipe.hmget(keys.session(session_id), _READ)
                    pipe.llen(keys.log(session_id, "tool_executions"))
                replies = pipe.execute()
            for index, session_id in enumerate(some):
                found.update(_wrong(known[session_id], replies[2 * index], replies[2 * index + 1]))
    return found


def _wrong(known: Known, fields: list[str | None], entries: int) -> Iterator[str]:
    status, version, hits, executions = fields
    if status is None:
        yield "created, and not there"
        return
    if known.ended and status in _LIVE:
        yield "ended, and live"
    if not known.ending and status not in _LIVE:
        yield "live, and ended"
    counted = {"version": (known.version, version), "hits": (known.hits, hits)}
    counted |= {"executions": (known.executions, executions)}
    for name, (acknowledged, there) in counted.items():
        if not acknowledged <= int(there or 0) <= acknowledged + known.unsure:
            yield f"{name} other than acknowledged"
    if entries != int(executions or 0):
        yield "executions other than counted"


def sessions(settings: Settings) -> int:
    """How many records there are."""
    pattern = TenantKeys.of(TENANT, settings.partitions).session("*")
    with redis.Redis.from_url(settings.redis_url) as client:
        return sum(1 for _ in client.scan_iter(match=pattern, count=_AT_ONCE))


def drift(settings: Settings) -> list[str]:
    """What disagrees with the records, both ways, over everything there is."""
    found: list[Any] = list(examine(settings, only=_CHECKS, full=True))
    return [f"{each.check}: {each.found}" for each in found if each.severity != "ok"]
