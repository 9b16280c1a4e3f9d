"""The scheduler killed at each of its steps, its set spoiled, and nobody who takes what it enqueues."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import redis
from rq.serializers import JSONSerializer
from tests.faults.report import Report
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn.settings import Settings
from sojourn_worker.queues import SafeQueue, connect
from sojourn_worker.schedule import periodic_jobs

SWEEPS = "rq:queue:sojourn-hooks"
ARCHIVES = "rq:queue:sojourn-archive"
SET = "sojourn:scheduler:scheduled"

DYING = """
import json, os, signal, sys, time
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

lost = doubled = longest_s = 0
for step in range(100):
    with connect(settings) as client:
        client.flushall()
    child = os.fork()
    if not child:
        die_before(step)
    _, status = os.waitpid(child, 0)
    with connect(settings) as client:
        began = time.monotonic()
        PeriodicScheduler(settings, client).enqueue_jobs()
        longest_s = max(longest_s, time.monotonic() - began)
        lost += sum(max(0, due - there) for due, there in zip([1, 1, 2], count(client)))
        doubled += sum(max(0, there - due) for due, there in zip([1, 1, 2], count(client)))
    if not status:
        break
else:
    sys.exit("it never came to its end")
print(json.dumps([step, lost, doubled, longest_s]))
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


@pytest.mark.long
def test_nobody_works_for_thirty_seconds(
    settings: Settings, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """Over 150 intervals without a worker, one copy of each periodic job waits, and no more."""
    processes.role("schedule", settings)
    eventually(lambda: client.llen(SWEEPS) and client.llen(ARCHIVES), deadline_s=60)
    ends_at = time.monotonic() + 30
    most = 0

    def over() -> bool:
        nonlocal most
        most = max(most, client.llen(SWEEPS), client.llen(ARCHIVES))
        return time.monotonic() >= ends_at

    eventually(over, deadline_s=60)
    waiting = client.lrange(SWEEPS, 0, -1) + client.lrange(ARCHIVES, 0, -1)
    report.row(
        "no worker for 30 s", injected=1, lost=2 - len(set(waiting)), duplicated=most - 1,
        note="of each periodic job one copy waits, after 150 intervals",
    )  # fmt: skip


def test_a_kill_between_steps_heals(settings: Settings, processes: Processes, report: Report) -> None:
    """Killed before any of its writes to Redis: the next scheduler's first round has one copy of each job waiting."""
    program = processes.python(DYING, settings=settings)
    assert program.popen.wait(60) == 0, program.log
    steps, lost, doubled, longest_s = json.loads(program.log.splitlines()[-1])
    assert steps > 8
    report.row(
        "scheduler killed before each of its commands", injected=steps, lost=lost, duplicated=doubled,
        recovery_s=longest_s, within_s=10, note="the next scheduler's first round mends it",
    )  # fmt: skip


def test_a_killed_scheduler_is_replaced(
    settings: Settings, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """A scheduler dies with the lock in its hand and its schedule gone: another one goes on within ten seconds."""
    first = processes.role("schedule", settings)
    eventually(lambda: client.llen(SWEEPS), deadline_s=60)
    first.popen.kill()
    first.popen.wait()
    client.set("sojourn:scheduler:lock", "dead", px=5000)  # as it leaves it when it dies in a round
    client.delete(SET, SWEEPS, "rq:job:sojourn-sweep")
    began = time.monotonic()
    processes.role("schedule", settings)
    eventually(lambda: client.llen(SWEEPS), deadline_s=60)
    report.row(
        "scheduler killed with its lock held, its set gone", injected=1, lost=2 - client.zcard(SET),
        duplicated=client.llen(SWEEPS) - 1, recovery_s=time.monotonic() - began, within_s=10,
    )  # fmt: skip


def test_what_is_not_ours_is_set_aside(
    settings: Settings, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """Foreign and unreadable jobs in the schedule are moved aside and counted; nothing of theirs is loaded or run."""
    queue = SafeQueue("sojourn-hooks", connection=client, serializer=JSONSerializer)
    foreign = queue.create_job("os.system", args=["true"], meta={"queue_class_name": "os.system"})
    foreign.save()
    client.set("rq:job:broken", "x")
    client.zadd(SET, {foreign.id: 1, "broken": 1, "gone": 1})
    client.zadd(SET, {b"\xff\xfe": 1})
    scheduler = processes.role("schedule", settings)
    scheduler.logged("scheduling")
    began = time.monotonic()
    eventually(lambda: client.llen(SWEEPS), deadline_s=60)
    scheduler.tells("scheduled job set aside", kept=4)
    recovery_s = time.monotonic() - began
    assert client.zcard("sojourn:scheduler:set-aside") == 4
    assert client.hget("sojourn:counts", "set_aside_jobs") == b"4"
    assert client.lrange(SWEEPS, 0, -1) == [b"sojourn-sweep"]
    assert scheduler.stop() == 0
    report.row(
        "corrupt and foreign jobs in the schedule", injected=4, lost=len(periodic_jobs(settings)) - client.zcard(SET),
        duplicated=0, recovery_s=recovery_s, within_s=10, note="set aside, counted and logged",
    )  # fmt: skip
