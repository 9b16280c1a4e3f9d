"""Periodic jobs: on time, one at a time, whatever dies."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn.settings import ArchiveRetention, Settings
from sojourn_worker.queues import HOOKS, RUN_RETENTION, RUN_SWEEP, SafeJob, connect, open_queue
from sojourn_worker.schedule import PeriodicScheduler, periodic_jobs

SWEEPS = "rq:queue:sojourn-hooks"
ARCHIVES = "rq:queue:sojourn-archive"
SET = "sojourn:scheduler:scheduled"


@pytest.fixture
def settings(any_redis_url: str) -> Settings:
    """Give settings with short intervals."""
    return settings_for(
        any_redis_url, backstop_interval=0.2, archive_interval=0.2, archive_url="postgresql://127.0.0.1:9/none"
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    """Give a client of the queues' Redis."""
    with connect(settings) as found:
        yield found


def _waiting(client: redis.Redis) -> dict[str, int]:
    return {key: client.llen(key) for key in (SWEEPS, ARCHIVES)}


def _finish(client: redis.Redis, key: str) -> bool:
    """Take the waiting job as a worker would, and be done with it; whether there was one."""
    job_id: Any = client.lpop(key)
    if job_id is None:
        return False
    client.delete(b"rq:job:" + job_id)
    return True


def test_without_workers_one_copy_waits(settings: Settings, client: redis.Redis) -> None:
    """Many rounds over many intervals enqueue each periodic job once, until somebody takes it."""
    scheduler = PeriodicScheduler(settings, client)
    assert sorted(scheduler.enqueue_jobs()) == ["sojourn-archive", "sojourn-sweep"]
    for _ in range(5):
        client.zadd(SET, dict.fromkeys(periodic_jobs(settings), 1))
        assert scheduler.enqueue_jobs() == []
    assert _waiting(client) == {SWEEPS: 1, ARCHIVES: 1}
    job: Any = SafeJob.fetch("sojourn-sweep", connection=client)
    assert (job.func_name, job.refusal, job.description) == (RUN_SWEEP, None, "sojourn-sweep")


def test_no_copy_beside_one_that_runs_or_is_to_be_retried(settings: Settings, client: redis.Redis) -> None:
    """A copy counts while it is taken, runs, or waits to be tried again; one that failed for good does not."""
    scheduler = PeriodicScheduler(settings, client)
    scheduler.enqueue_jobs()
    name = "sojourn-sweep"

    def again() -> bool:
        client.zadd(SET, {name: 1})
        return name in scheduler.enqueue_jobs()

    client.lmove(SWEEPS, f"{SWEEPS}:intermediate")
    assert not again()
    client.delete(f"{SWEEPS}:intermediate")
    client.zadd("rq:wip:sojourn-hooks", {f"{name}:abc": 9e9})
    client.hset(f"rq:execution:{name}:abc", "created_at", 1)
    assert not again()
    client.delete("rq:wip:sojourn-hooks")
    client.zadd("rq:wip:sojourn-hooks", {f"{name}:dead": time.time() + 5})  # soon to be found abandoned
    assert not again()
    client.delete("rq:wip:sojourn-hooks")
    client.zadd("rq:scheduled:sojourn-hooks", {name: time.time() + 200})
    assert not again()
    client.delete("rq:scheduled:sojourn-hooks")
    client.zadd("rq:failed:sojourn-hooks", {name: 9e9})
    assert again()
    assert not client.zcard("rq:failed:sojourn-hooks")
    assert client.llen(SWEEPS) == 1


def test_entries_with_which_no_worker_will_deal_do_not_count(settings: Settings, client: redis.Redis) -> None:
    """A run that is gone but would be found so in years, and a retry in years, keep no job away, and are removed."""
    scheduler = PeriodicScheduler(settings, client)
    for key, entry in (("rq:wip:sojourn-hooks", "sojourn-sweep:gone"), ("rq:scheduled:sojourn-hooks", "sojourn-sweep")):
        for score in ("+inf", 9e9):
            client.flushall()
            entries: dict[Any, Any] = {entry: score}
            client.zadd(key, entries)
            assert "sojourn-sweep" in scheduler.enqueue_jobs()
            assert not client.exists(key)


def test_a_key_of_another_type_costs_its_own_job_only(settings: Settings, client: redis.Redis) -> None:
    """A queue that is no list keeps no other job from its time, nor itself once it is mended; it is counted."""
    scheduler = PeriodicScheduler(settings, client)
    for key in (SWEEPS, "rq:wip:sojourn-hooks", "rq:scheduled:sojourn-hooks", f"{SWEEPS}:intermediate"):
        client.flushall()
        client.set(key, "x")
        for _ in range(3):
            client.zadd(SET, dict.fromkeys(periodic_jobs(settings), 1))
            scheduler.enqueue_jobs()
            assert _finish(client, ARCHIVES)
        assert int(client.hget("sojourn:counts", "failed_enqueues") or 0) == 3
        client.delete(key)
        client.zadd(SET, dict.fromkeys(periodic_jobs(settings), 1))
        assert "sojourn-sweep" in scheduler.enqueue_jobs()


def test_a_set_of_another_type_is_put_aside(settings: Settings, client: redis.Redis) -> None:
    """What is no sorted set is renamed, counted, and made anew; counts that are none stop nothing."""
    scheduler = PeriodicScheduler(settings, client)
    client.set(SET, "x")
    assert len(scheduler.enqueue_jobs()) == 2
    (aside,) = client.keys("sojourn:scheduler:set-aside:*")
    assert client.get(aside) == b"x"
    assert client.hget("sojourn:counts", "set_aside_jobs") == b"1"
    client.delete("sojourn:counts")
    client.set("sojourn:counts", "x")
    client.zadd(SET, {"foreign": 1})
    scheduler.enqueue_jobs()
    assert client.zscore("sojourn:scheduler:set-aside", "foreign")


def test_locks_that_do_not_expire_are_made_to(settings: Settings, client: redis.Redis) -> None:
    """The scheduler's and the workers': whatever they hold, nobody waits for ever."""
    lock, cleaning = "sojourn:scheduler:lock", "rq:clean_registries:sojourn-hooks"
    client.rpush(lock, "x")
    client.set(cleaning, "1")
    assert not PeriodicScheduler(settings, client).acquire_lock()
    assert not open_queue(settings, HOOKS, client).acquire_maintenance_lock()
    assert 0 < client.pttl(lock) <= 5_000
    assert 0 < client.pttl(cleaning) <= 10_000


def test_two_prefixes_have_jobs_of_their_own(any_redis_url: str) -> None:
    """Also where they differ only in what may not be in a job's id."""
    names = [set(periodic_jobs(settings_for(any_redis_url, queue_prefix=each))) for each in ("a.b", "a-b", "a_b")]
    assert len(set.union(*names)) == 3
    assert "a-b-sweep" in names[1]


def test_two_schedulers_enqueue_no_doubles(settings: Settings, client: redis.Redis, processes: Processes) -> None:
    """Two scheduler processes keep the interval of one: nobody runs a job twice as often."""
    schedulers = [processes.role("schedule", settings) for _ in range(2)]
    times: list[float] = []

    def taken() -> int:
        if _finish(client, SWEEPS):
            seconds, micros = client.time()
            times.append(seconds + micros / 1e6)
        assert client.llen(SWEEPS) <= 1
        return len(times)

    eventually(lambda: taken() >= 10, deadline_s=60)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert sum(gaps) / len(gaps) > 0.18
    assert [scheduler.stop() for scheduler in schedulers] == [0, 0]


def test_without_an_archive_only_the_sweep_is_scheduled(any_redis_url: str) -> None:
    """Where no archive is configured, nothing is enqueued that nobody would take."""
    settings = settings_for(any_redis_url)
    with connect(settings) as client:
        assert PeriodicScheduler(settings, client).enqueue_jobs() == ["sojourn-sweep"]
        assert set(periodic_jobs(settings)) == {"sojourn-sweep"}


def test_retention_is_scheduled_where_there_is_something_to_remove(settings: Settings, client: redis.Redis) -> None:
    """Where an archive and a rule of retention are set, it is enqueued for the archive's workers, at its interval."""
    assert "sojourn-retention" not in periodic_jobs(settings)
    rules = {"archive_retention": (ArchiveRetention(keep=timedelta(days=1)),)}
    ruled = settings.model_copy(update=rules)
    job = periodic_jobs(ruled)["sojourn-retention"]
    assert (job.function, job.kind, job.interval_s) == (RUN_RETENTION, "archive", 3600)
    kept = settings.model_copy(update={"audit_retention": timedelta(days=1)})
    assert "sojourn-retention" in periodic_jobs(kept)
    assert "sojourn-retention" not in periodic_jobs(ruled.model_copy(update={"archive_url": None}))
    assert "sojourn-retention" in PeriodicScheduler(ruled, client).enqueue_jobs()
    assert client.lpos(ARCHIVES, "sojourn-retention") is not None
    job_there: Any = SafeJob.fetch("sojourn-retention", connection=client)
    assert job_there.refusal is None


def test_a_damaged_lock_of_another_is_left_alone(settings: Settings, client: redis.Redis) -> None:
    """A scheduler that held the lock for too long does not take away the next one's."""
    one, two = PeriodicScheduler(settings, client), PeriodicScheduler(settings, client)
    assert one.acquire_lock()
    assert not two.acquire_lock()
    client.delete("sojourn:scheduler:lock")  # it ran out
    assert two.acquire_lock()
    one.remove_lock()
    assert client.exists("sojourn:scheduler:lock")
    two.remove_lock()
    assert not client.exists("sojourn:scheduler:lock")
