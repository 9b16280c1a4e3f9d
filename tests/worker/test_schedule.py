"""Periodic jobs: on time, one at a time, whatever dies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from rq.serializers import JSONSerializer
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn.settings import Settings
from sojourn_worker.queues import RUN_SWEEP, SafeJob, SafeQueue, connect
from sojourn_worker.schedule import PeriodicScheduler, periodic_jobs

SWEEPS = "rq:queue:sojourn-hooks"
ARCHIVES = "rq:queue:sojourn-archive"
SET = "sojourn:scheduler:scheduled"

DYING = """
import os, signal, sys
import redis
from sojourn_worker import config
from sojourn_worker.queues import connect
from sojourn_worker.schedule import PeriodicScheduler

settings = config.from_line(sys.stdin.buffer.readline())
real = redis.connection.Connection.send_packed_command

def die_before(step):
    sent = 0
    def send(self, *args, **kwargs):
        nonlocal sent
        if sent == step:
            os.kill(os.getpid(), signal.SIGKILL)
        sent += 1
        return real(self, *args, **kwargs)
    redis.connection.Connection.send_packed_command = send
    PeriodicScheduler(settings, connect(settings)).enqueue_jobs()
    os._exit(0)

def count(client):
    lists = [client.llen("rq:queue:sojourn-" + kind) for kind in ("hooks", "archive")]
    return [*lists, client.zcard("sojourn:scheduler:scheduled")]

for step in range(100):
    with connect(settings) as client:
        client.flushall()
    child = os.fork()
    if not child:
        die_before(step)
    _, status = os.waitpid(child, 0)
    with connect(settings) as client:
        PeriodicScheduler(settings, client).enqueue_jobs()
        assert count(client) == [1, 1, 2], (step, count(client))
    if not status:
        break
else:
    sys.exit("it never came to its end")
print(step)
"""


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
    assert not again()
    client.delete("rq:wip:sojourn-hooks")
    client.zadd("rq:scheduled:sojourn-hooks", {name: 9e9})
    assert not again()
    client.delete("rq:scheduled:sojourn-hooks")
    client.zadd("rq:failed:sojourn-hooks", {name: 9e9})
    assert again()
    assert not client.zcard("rq:failed:sojourn-hooks")
    assert client.llen(SWEEPS) == 1


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

    eventually(lambda: taken() >= 10, deadline_s=15)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert sum(gaps) / len(gaps) > 0.18
    assert [scheduler.stop() for scheduler in schedulers] == [0, 0]


def test_a_killed_scheduler_is_replaced(settings: Settings, client: redis.Redis, processes: Processes) -> None:
    """A scheduler dies with the lock in its hand and its schedule gone: another one goes on within ten seconds."""
    first = processes.role("schedule", settings)
    eventually(lambda: client.llen(SWEEPS), deadline_s=10)
    first.popen.kill()
    first.popen.wait()
    client.set("sojourn:scheduler:lock", "dead", px=5000)  # as it leaves it when it dies in a round
    client.delete(SET)
    _finish(client, SWEEPS)
    processes.role("schedule", settings)
    eventually(lambda: client.llen(SWEEPS), deadline_s=8)


def test_a_kill_between_steps_heals(settings: Settings, processes: Processes) -> None:
    """Killed before any of its writes to Redis: the next scheduler has one copy waiting and the schedule full."""
    program = processes.python(DYING, settings=settings)
    assert program.popen.wait(30) == 0
    steps = int(program.log.split()[-1])
    assert steps > 8


def test_what_is_not_ours_is_set_aside(settings: Settings, client: redis.Redis, processes: Processes) -> None:
    """Foreign and unreadable jobs in the schedule are moved aside and counted; nothing of theirs is loaded or run."""
    queue = SafeQueue("sojourn-hooks", connection=client, serializer=JSONSerializer)
    foreign = queue.create_job("os.system", args=["true"], meta={"queue_class_name": "os.system"})
    foreign.save()
    client.set("rq:job:broken", "x")
    client.zadd(SET, {foreign.id: 1, "broken": 1, "gone": 1})
    client.zadd(SET, {b"\xff\xfe": 1})
    scheduler = processes.role("schedule", settings)
    eventually(lambda: client.llen(SWEEPS), deadline_s=10)
    scheduler.logged("4 are in sojourn:scheduler:set-aside")
    assert client.zcard("sojourn:scheduler:set-aside") == 4
    assert client.zcard(SET) == 2
    assert client.lrange(SWEEPS, 0, -1) == [b"sojourn-sweep"]
    assert scheduler.stop() == 0


def test_without_an_archive_only_the_sweep_is_scheduled(any_redis_url: str) -> None:
    """Where no archive is configured, nothing is enqueued that nobody would take."""
    settings = settings_for(any_redis_url)
    with connect(settings) as client:
        assert PeriodicScheduler(settings, client).enqueue_jobs() == ["sojourn-sweep"]
        assert set(periodic_jobs(settings)) == {"sojourn-sweep"}


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
