"""The numbers that Redis keeps, as values, as text for Prometheus, and as findings of the doctor."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from tests.sound import troubles
from tests.waiting import eventually

from sojourn import SessionStore, Settings
from sojourn.archive import archive_once, init
from sojourn.doctor import Finding, examine
from sojourn.events import ARCHIVE_GROUP
from sojourn.exposition import exposition
from sojourn.hook_names import hook_scope
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.metrics import Metrics, read_metrics


def _settings(url: str, **more: Any) -> Settings:
    return Settings(redis_url=url, partitions=8, events_alarm=100, events_cap=100, **more)


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
    assert not troubles(examine(settings))


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
    assert "sojourn events --tenant default --forget --group billing" in finding.commands
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
        assert (_sample(found, "sojourn_archive_lag_seconds") or 0) > 0.05
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
    for check in ("lost", "damaged", "restored", "jobs"):
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


def _dead_letter(client: redis.Redis, scope: str) -> None:
    partition = PartitionKeys(2)
    client.hincrby(partition.counts, "dead_letters", 1)
    client.hincrby(partition.counts, f"dead_letters:{scope}", 1)
    client.xadd(partition.dead(scope), {"hook": "mail", "id": "02-1-1", "event": "{}"})


def test_dead_letters_are_one_s_own(redis_url: str) -> None:
    """Those of another deployment on the same Redis are neither listed nor counted, whatever its prefix."""
    settings = _settings(redis_url)
    with redis.Redis.from_url(redis_url) as client, SessionStore(settings=settings) as store:
        store.count()
        for prefix in ("staging", "sojourn.b", "sojourn2", "sojourn."):
            _dead_letter(client, hook_scope(prefix, "mail"))
        found = read_metrics(settings)
        assert (found.dead_letters, found.counts.get("dead_letters", 0)) == ({}, 0)
        assert _found(settings)["dead-letters"].severity == "ok"
        _dead_letter(client, hook_scope("sojourn", "mail"))
    found = read_metrics(settings)
    assert (found.dead_letters, found.counts["dead_letters"]) == ({"mail": 1}, 1)
    assert _sample(found, "sojourn_dead_letters", hook="mail") == 1
    assert _sample(found, "sojourn_dead_lettered_events_total") == 1
    assert _found(settings)["dead-letters"].severity == "warning"
    assert json.loads(json.dumps(found.to_json()))["dead_letters"] == {"mail": 1}


@pytest.mark.parametrize(
    "key",
    ["sojourn:{02}:events", "sojourn:{02}:dirty", "sojourn:{02}:counts", "sojourn:{02}:/dead:sojourn.mail",
     "sojourn:counts", "rq:queue:sojourn-hooks", "rq:workers:sojourn-archive"],
)  # fmt: skip
def test_a_key_of_another_type_is_named(redis_url: str, key: str) -> None:
    """The doctor says which key it is, and goes on with the others; so do the metrics."""
    settings = _settings(redis_url)
    with redis.Redis.from_url(redis_url) as client, SessionStore(settings=settings) as store:
        for tenant in map("tenant{}".format, range(20)):
            store.for_tenant(tenant).create()
        _dead_letter(client, hook_scope("sojourn", "mail"))
        client.hincrby(PartitionKeys(3).counts, "lost", 4)
        client.set(key, "x")
    metrics = read_metrics(settings)
    assert metrics.odd_keys == (key,)
    assert 0 < metrics.dirty <= 20
    assert _sample(metrics, "sojourn_odd_keys") == 1
    findings = list(examine(settings))
    assert [each.severity for each in findings if each.check == "keys"] == ["error"]
    found = {each.check: each for each in findings}
    assert key in found["keys"].found
    assert found["lost"].found.startswith("4 records")
    assert found["jobs"].severity == "ok"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda client: client.hset("sojourn:{02}:counts", mapping={"damaged": "9" * 400, "lost": "-5", "stale": "x"}),
        lambda client: client.hset("sojourn:{02}:counts", b"dead_letters:sojourn.\xff", 1),
        lambda client: client.hset("sojourn:{02}:counts", b"\xff\n", 1),
        lambda client: client.hset("sojourn:counts", "refused_jobs", "x"),
        lambda client: client.hset("sojourn:counts", b"\xff", "\xff"),
        lambda client: client.sadd("rq:workers:sojourn-hooks", b"\xff", "nobody"),
        lambda client: client.xgroup_create("sojourn:{02}:events", b"g\xff", id="0", mkstream=True),
        lambda client: client.xgroup_create("sojourn:{02}:events", b'g\n\r"\\', id="0", mkstream=True),
    ],
    ids=["numbers", "hook", "count", "queue", "queue's name", "workers", "group", "group's lines"],
)
def test_odd_data_is_no_failure(redis_url: str, spoil: Callable[[Any], object]) -> None:
    """What other hands wrote is left out, or told so that every format takes it; nothing else is wrong."""
    settings = _settings(redis_url)
    with redis.Redis.from_url(redis_url) as client, SessionStore(settings=settings) as store:
        store.create()
        spoil(client)
    found = read_metrics(settings)
    assert _sample(found, "sojourn_dirty_sessions") == 1
    json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False).encode()
    assert not troubles(examine(settings))
    assert all(name in ("g\\xff", 'g\\n\\r"\\') for name in found.groups)


def test_a_score_that_is_no_time_hides_none(redis_url: str) -> None:
    """The age is that of the first session that waits since a moment."""
    settings = _settings(redis_url)
    partition = TenantKeys.of("default", 8).partition
    with redis.Redis.from_url(redis_url) as client, SessionStore(settings=settings) as store:
        store.create()
        client.zadd(partition.dirty, {"x": "-inf", "y": -5, "z": "inf"})
    found = read_metrics(settings)
    assert found.dirty == 4
    assert 0 <= found.dirty_age_s < 60


def test_jobs_without_a_worker_are_told(redis_url: str) -> None:
    """Jobs that wait are nothing special while a worker of their queue is alive; a warning where none is."""
    settings = _settings(redis_url)
    with redis.Redis.from_url(redis_url) as client, SessionStore(settings=settings) as store:
        store.count()
        client.lpush("rq:queue:sojourn-hooks", "a", "b")
        client.lpush("rq:queue:staging-hooks", "c")
        finding = _found(settings)["jobs"]
        assert (finding.severity, finding.found) == ("warning", "2 jobs wait in sojourn-hooks and no worker is there")
        now = datetime.now(UTC)
        for age_s, severity in ((120, "warning"), (1, "ok")):
            client.sadd("rq:workers:sojourn-hooks", "rq:worker:w")
            beat = (now - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            client.hset("rq:worker:w", "last_heartbeat", beat)
            assert _found(settings)["jobs"].severity == severity
        client.lpush("rq:queue:sojourn-archive", "d")
        assert "1 jobs wait in sojourn-archive" in _found(settings)["jobs"].found
    found = read_metrics(settings)
    assert _sample(found, "sojourn_queue_depth", queue="sojourn-hooks") == 2
    assert _sample(found, "sojourn_queue_workers", queue="sojourn-hooks") == 1
