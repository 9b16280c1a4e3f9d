"""How late a worker claims sessions whose deadline has passed, while many others live."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

import redis

from bench_calls import FIELDS, BenchSession
from sojourn import SessionStore
from sojourn.codec import ms_from
from sojourn.keys import TenantKeys
from sojourn.settings import Settings

__all__ = ["run"]


_AT_ONCE: Final = 10_000


def run(url: str, live: int, due: int, over_s: float, at_once: int = _AT_ONCE) -> dict[str, Any]:
    """Milliseconds from the deadline to the claim, as both stand in Redis.

    Args:
        url: an empty Redis.
        live: sessions that live on meanwhile.
        due: sessions that expire one after another.
        over_s: seconds over which they do.
        at_once: sessions that are then due in one millisecond.
    """
    settings = Settings(redis_url=url, events_cap=10 * (live + due))
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    keys = TenantKeys.of("expiry", settings.partitions)
    with contextlib.closing(client), SessionStore(model=BenchSession, settings=settings, tenant="expiry") as store:
        client.flushall()
        for start in range(0, live, 500):
            store.create_many([FIELDS] * min(500, live - start), ttl=86_400)
        client.delete(keys.partition.events)
        deadlines = {
            each.id: each.expires_at or datetime.max.replace(tzinfo=UTC)
            for number in range(due)
            for each in [store.create(ttl=3 + over_s * number / due, **FIELDS)]
        }
        client.xgroup_create(keys.partition.events, "bench", id="0")  # keeps the events from being trimmed
        command = [sys.executable, "-m", "sojourn.cli", "worker", "--role", "listen"]
        worker = subprocess.Popen(command, env=os.environ | {"SOJOURN_REDIS_URL": url, "SOJOURN_LOG_LEVEL": "warning"})  # noqa: S603
        try:
            limit = time.monotonic() + over_s + 30
            while client.zcount(keys.partition.deadlines, "-inf", _latest(deadlines)) and time.monotonic() < limit:
                time.sleep(0.2)
            moment = _expire_at_once(client, store, keys, at_once)
            while client.zcount(keys.partition.deadlines, "-inf", moment) and time.monotonic() < limit + 60:
                time.sleep(0.2)
        finally:
            worker.terminate()
            worker.wait(30)
        lags, together = [], []
        for _, fields in client.xrange(keys.partition.events):
            if fields["type"] == "expired" and fields["id"] in deadlines:
                lags.append(int(fields["at_ms"]) - ms_from(deadlines[fields["id"]]))
            elif fields["type"] == "expired":
                together.append(int(fields["at_ms"]) - moment)
        client.flushall()
    lags.sort()
    return {
        "live sessions": live,
        "due": due,
        "claimed": len(lags),
        "median lag, ms": statistics.median(lags),
        "p99 lag, ms": lags[int(len(lags) * 0.99)],
        "longest lag, ms": lags[-1],
        "due at once": at_once,
        "claimed of these": len(together),
        "the last of these after, ms": max(together),
    }


def _expire_at_once(client: Any, store: SessionStore[BenchSession], keys: TenantKeys, count: int) -> int:
    """Have so many sessions be due in the same millisecond, some seconds on; when that is, in ms since the epoch."""
    ids = [
        each.id
        for start in range(0, count, 500)
        for each in store.create_many([FIELDS] * min(500, count - start), ttl=3600)
    ]
    seconds, _ = client.time()
    moment = (int(seconds) + 5) * 1000
    for start in range(0, count, 500):
        with client.pipeline(transaction=False) as pipe:
            for each in ids[start : start + 500]:
                pipe.hset(keys.session(each), "expires_at_ms", moment)
                pipe.set(keys.lease(each), "", pxat=moment)
                pipe.zadd(keys.partition.deadlines, {keys.member(each): moment})
            pipe.execute()
    return moment


def _latest(deadlines: dict[str, datetime]) -> int:
    return max(map(ms_from, deadlines.values()))
