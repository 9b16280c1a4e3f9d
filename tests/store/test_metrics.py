"""The numbers that Redis keeps, as values, as text for Prometheus, and as findings of the doctor."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from tests.waiting import eventually

from sojourn import SessionStore, Settings
from sojourn.archive import archive_once, init
from sojourn.doctor import Finding, examine
from sojourn.events import ARCHIVE_GROUP
from sojourn.exposition import exposition
from sojourn.keys import TenantKeys
from sojourn.metrics import Metrics, read_metrics


def _settings(url: str, **more: Any) -> Settings:
    return Settings(redis_url=url, partitions=8, events_alarm=100, **more)


def _sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(exposition(metrics)):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


def _found(settings: Settings) -> dict[str, Finding]:
    return {each.check: each for each in examine(settings)}


def test_an_empty_redis_is_well(redis_url: str) -> None:
    """Nothing there: zeros everywhere, and no complaint."""
    settings = _settings(redis_url)
    with SessionStore(settings=settings) as store:
        store.count()
    found = read_metrics(settings)
    assert (found.dirty, found.outbox, dict(found.counts), found.dead_letters) == (0, {}, {}, {})
    assert _sample(found, "sojourn_lost_payloads_total") == 0
    assert {each.severity for each in examine(settings)} == {"ok"}


def test_a_stopped_group_is_told(redis_url: str) -> None:
    """A group that nobody reads for keeps its events; past the alarm, metrics and doctor say so."""
    settings = _settings(redis_url)
    with SessionStore(settings=settings) as store:
        assert list(store.events("billing", start="oldest", timeout=0)) == []
        store.create_many([{}] * 99)
        assert read_metrics(settings).past_alarm == ()
        assert _found(settings)["outbox"].severity == "ok"
        store.create_many([{}] * 2)
        store.create_many([{}] * 2)
        assert next(store.events("billing", timeout=0)).type == "created"
    found = read_metrics(settings)
    assert found.past_alarm == (TenantKeys.of("default", 8).partition.number,)
    assert found.slowest_group == "default:billing"
    assert _sample(found, "sojourn_outbox_past_alarm") == 1
    assert _sample(found, "sojourn_outbox_largest_events") == 103
    finding = _found(settings)["outbox"]
    assert finding.severity == "error"
    assert "default:billing" in finding.found
    assert "sojourn events --forget --group billing" in finding.mend
    eventually(lambda: (_sample(read_metrics(settings), "sojourn_group_lag_seconds", group="default:billing") or 0) > 0)


def test_what_waits_for_the_archive(redis_url: str, postgres_url: str) -> None:
    """Dirty sessions, their age, and the archive's group; past the alarm the doctor says so."""
    init(postgres_url)
    settings = _settings(redis_url, archive_url=postgres_url, dirty_alarm=0.05)
    with SessionStore(settings=settings) as store:
        store.create()
        store.create()
        archive_once(settings)
        assert read_metrics(settings).dirty == 0
        assert set(read_metrics(settings).groups) == {ARCHIVE_GROUP}
        store.create()
        eventually(lambda: _found(settings)["dirty"].severity == "error")
        found = read_metrics(settings)
        assert found.dirty == 1
        assert (_sample(found, "sojourn_dirty_age_seconds") or 0) > 0.05
        assert found.groups[ARCHIVE_GROUP].lag_s > 0


def test_counts_become_findings(redis_url: str) -> None:
    """What went wrong, once: lost, damaged, restored, refused."""
    settings = _settings(redis_url)
    partition = TenantKeys.of("default", 8).partition
    with redis.Redis.from_url(redis_url) as client, SessionStore(settings=settings) as store:
        store.count()
        for name in ("lost", "damaged", "restored", "stale"):
            client.hincrby(partition.counts, name, 2)
        client.hincrby("sojourn:counts", "refused_jobs", 3)
    found = read_metrics(settings)
    assert _sample(found, "sojourn_lost_payloads_total") == 2
    assert _sample(found, "sojourn_jobs_refused_total") == 3
    told = _found(settings)
    for check in ("lost records", "damaged records", "older copies", "jobs"):
        assert told[check].severity == "warning"
        assert told[check].why
        assert told[check].mend


@pytest.mark.parametrize("away", ["redis", "queue", "archive"])
def test_a_server_that_is_away_is_a_finding(any_redis_url: str, free_port: int, away: str) -> None:
    """The doctor goes on, and says which one is away."""
    nowhere = f"redis://127.0.0.1:{free_port}"
    settings = Settings(
        redis_url=nowhere if away == "redis" else any_redis_url,
        queue_url=nowhere if away == "queue" else None,
        archive_url=f"postgresql://127.0.0.1:{free_port}/x" if away == "archive" else None,
        archive_timeout=1.0,
        grace=timedelta(days=1),
    )
    found = _found(settings)
    assert found[{"queue": "jobs"}.get(away, away)].severity == "error"
