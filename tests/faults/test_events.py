"""A consumer group that stops reading."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import redis
from tests.faults.deployment import Deployment, backlog, deployed
from tests.faults.report import Report
from tests.store.examples import keys_of
from tests.waiting import eventually
from tests.worker.processes import Processes

from sojourn import SessionStore
from sojourn.doctor import examine
from sojourn.metrics import read_metrics
from sojourn.settings import Settings


def _outbox(settings: Settings) -> str:
    return next(each.severity for each in examine(settings) if each.check == "outbox")


def test_a_group_stops_reading(any_redis_url: str, processes: Processes, report: Report) -> None:
    """Nothing that a group has not read is trimmed, and doctor and metrics say so; later it reads the rest, once."""
    settings = deployed(any_redis_url, events_alarm=500, events_cap=100)
    Deployment(processes, settings, ("listen", "dispatch"))
    client: redis.Redis = redis.Redis.from_url(any_redis_url, decode_responses=True)
    with client, SessionStore(settings=settings) as store:
        events = keys_of(store).partition.events
        made = [each.id for each in store.create_many([{}] * 10)]
        read = [each.session_id for each in store.events("audit", start="oldest", limit=10)]
        assert read == made
        for _ in range(3):
            made += [each.id for each in store.create_many([{}] * 500)]
        eventually(lambda: not backlog(client, settings), what="the dispatcher to have read all")
        trims = _trims(client)
        eventually(lambda: _trims(client) >= trims + 2, deadline_s=5, what="two more rounds of trimming")
        assert client.xlen(events) >= 1_500
        found = read_metrics(settings)
        assert found.past_alarm == (keys_of(store).partition.number,)
        assert str(found.slowest_group).endswith("audit")
        assert _outbox(settings) == "error"
        began = time.monotonic()
        read += [each.session_id for each in store.events("audit", limit=1_500)]
        eventually(lambda: client.xlen(events) <= 100 and _outbox(settings) == "ok", what="the outbox to shrink")
        recovery_s = time.monotonic() - began
    told = Counter(read)
    twice = sum(told.values()) - len(told)
    report.row(
        "consumer group stopped", injected=1, lost=len(set(made) - set(told)), duplicated=twice,
        recovery_s=recovery_s, note="1,500 events kept for it; doctor and metrics told",
    )  # fmt: skip


def _trims(client: redis.Redis) -> int:
    """How often the server has trimmed a stream, whether or not there was anything to trim."""
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_xtrim", {}).get("calls", 0))
