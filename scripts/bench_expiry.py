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


_BATCH = 500


def run(url: str, live: int, due: int, over_s: float) -> dict[str, Any]:
    """Milliseconds from the deadline to the claim, as both stand in Redis.

    Args:
        url: a Redis that is emptied.
        live: sessions that do not expire meanwhile.
        due: sessions that do.
        over_s: seconds over which their deadlines are spread; 0 for all at once, give or take a millisecond.
    """
    settings = Settings(redis_url=url, events_cap=10 * (live + due))
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    keys = TenantKeys.of("expiry", settings.partitions)
    with contextlib.closing(client), SessionStore(model=BenchSession, settings=settings, tenant="expiry") as store:
        client.flushall()
        for start in range(0, live, 500):
            store.create_many([FIELDS] * min(500, live - start), ttl=86_400)
        client.delete(keys.partition.events)
        client.xgroup_create(
            keys.partition.events, "bench", id="0", mkstream=True
        )  # keeps the events from being trimmed
        command = [sys.executable, "-m", "sojourn.cli", "worker", "--role", "listen"]
        worker = subprocess.Popen(command, env=os.environ | {"SOJOURN_REDIS_URL": url, "SOJOURN_LOG_LEVEL": "warning"})  # noqa: S603
        try:
            store.create(ttl=0.01, **FIELDS)
            _claimed(client, keys, int(time.time() * 1000), 60)  # so long it takes to start
            deadlines = _due(store, due, over_s)
            _claimed(client, keys, _latest(deadlines), over_s + 60)
        finally:
            worker.terminate()
            worker.wait(30)
        lags = []
        for _, fields in client.xrange(keys.partition.events):
            if fields["type"] == "expired" and fields["id"] in deadlines:
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


def _claimed(client: Any, keys: TenantKeys, until_ms: int, within_s: float) -> None:
    """Wait until no deadline until then is left."""
    limit = time.monotonic() + within_s
    while client.zcount(keys.partition.deadlines, "-inf", until_ms) and time.monotonic() < limit:
        time.sleep(0.2)


def _due(store: SessionStore[BenchSession], due: int, over_s: float) -> dict[str, datetime]:
    """Sessions that will expire, with their deadlines; the first not before all have been made."""
    made = []
    if over_s:
        made = [store.create(ttl=3 + over_s * number / due, **FIELDS) for number in range(due)]
    else:
        all_at = time.monotonic() + 3 + due / 1000
        for done in range(0, due, _BATCH):
            fields = [FIELDS] * min(_BATCH, due - done)
            made += store.create_many(fields, ttl=all_at - time.monotonic())
    return {each.id: each.expires_at or datetime.max.replace(tzinfo=UTC) for each in made}


def _latest(deadlines: dict[str, datetime]) -> int:
    return max(map(ms_from, deadlines.values()))
