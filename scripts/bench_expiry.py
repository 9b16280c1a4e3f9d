"""How late a worker claims sessions whose deadline has passed, while many others live."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import redis

from bench_calls import FIELDS, BenchSession
from sojourn import SessionStore
from sojourn.codec import ms_from
from sojourn.keys import TenantKeys
from sojourn.settings import Settings

__all__ = ["run"]


def run(url: str, live: int, due: int, over_s: float) -> dict[str, Any]:
    """Milliseconds from the deadline to the claim, as both stand in Redis."""
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
        finally:
            worker.terminate()
            worker.wait(30)
        lags = []
        for _, fields in client.xrange(keys.partition.events):
            if fields["type"] == "expired":
                lags.append(int(fields["at_ms"]) - ms_from(deadlines[fields["id"]]))
        client.flushall()
    lags.sort()
    return {
        "live sessions": live,
        "due": due,
        "claimed": len(lags),
        "median lag, ms": statistics.median(lags),
        "p99 lag, ms": lags[int(len(lags) * 0.99)],
        "longest lag, ms": lags[-1],
    }


def _latest(deadlines: dict[str, datetime]) -> int:
    return max(map(ms_from, deadlines.values()))
