"""Workers that are killed, wherever they are, and workers that are away."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]
import pytest
import redis
from tests.census import strays
from tests.faults.deployment import ROLES, Deployment, catch_up, deployed, rows, unindexed
from tests.faults.hook_functions import calls, effects
from tests.faults.noted_hooks import repeated
from tests.faults.report import Report
from tests.waiting import eventually
from tests.worker.processes import Process, Processes

from sojourn import SessionStore
from sojourn.settings import Settings

_KILLS = 200
_EXPIRIES = 2_000

DIES_ON_TAKING = """
import os, signal, sys
from sojourn_worker import config
from sojourn_worker.stop import Stop
from sojourn_worker.worker import JobsWorker, work

JobsWorker.execute_job = lambda self, job, queue: os.kill(os.getpid(), signal.SIGKILL)
stop = Stop()
sys.exit(work(config.from_line(sys.stdin.buffer.readline()), stop, "hooks"))
"""


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as found:
        yield found


def _sessions(settings: Settings, count: int, *, ttl: tuple[float, float]) -> list[str]:
    """Make sessions of eight tenants that live between so many seconds, and change each once."""
    made: list[str] = []
    with SessionStore(settings=settings) as base:
        for part in range(0, count, 50):
            store = base.for_tenant(f"tenant{part // 50 % 8}")
            life_s = ttl[0] + (ttl[1] - ttl[0]) * part / count
            found = store.create_many([{"owner": f"owner{part}"}] * min(50, count - part), ttl=life_s)
            store.update_many({each.id: {"metadata": {"last": each.id}} for each in found})
            made += [each.id for each in found]
    return made


def _strike(process: Process, chance: random.Random, *, child: bool) -> bool:
    """SIGKILL to a process, or to a child of its that does a job; whether it had a job in hand."""
    target = psutil.Process(process.pid)
    children = target.children(recursive=True)
    with contextlib.suppress(psutil.NoSuchProcess):  # the child was done in this moment
        (chance.choice(children) if child and children else target).kill()
    return bool(children)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_two_hundred_kills(
    any_redis_url: str, archive_url: str, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """Any role or job's child is killed 200 times during 2,000 expiries: each is claimed and takes effect once."""
    told_slowly = {"events": ["expired", "lost"], "function": "tests.faults.noted_hooks:record_noted", "batch": 20}
    settings = deployed(any_redis_url, archive_url, hooks={"told": told_slowly}, retention=0)
    deployment = Deployment(processes, settings)
    deployment.ready()
    ids = _sessions(settings, _EXPIRIES, ttl=(3.0, 80.0))
    chance = random.Random(20)
    busy: Counter[str] = Counter()
    targets = [*ROLES, "child of jobs:hooks", "child of jobs:archive"]
    for _ in range(_KILLS):
        target = chance.choice(targets)
        role = target.removeprefix("child of ")
        busy[role] += _strike(deployment.roles[role], chance, child=target != role)
        pause_until = time.monotonic() + chance.uniform(0.1, 0.5)
        eventually(lambda until=pause_until: time.monotonic() >= until)  # type: ignore[misc]
        for each, process in deployment.roles.items():
            if process.popen.poll() is not None:
                deployment.start(each)
    # The last deadlines are after the last kill.
    eventually(lambda: not any(client.zcard(each.deadlines) for each in settings.all_partitions), deadline_s=60)
    recovery_s = catch_up(client, settings, deadline_s=120)

    told = Counter(each["session"] for each in effects(client))
    inexcusable, again = repeated(client)
    claimed = rows(
        settings, "SELECT session_id::text, count(*) FROM sojourn.session_events WHERE type = 'expired' GROUP BY 1"
    )
    last = rows(
        settings,
        "SELECT s.id::text FROM sojourn.sessions s JOIN sojourn.session_events e ON e.session_id = s.id"
        " AND e.type = 'expired' AND e.version = s.version WHERE s.status = 'expired' AND s.data->>'metadata' <> '{}'",
    )
    lost = (
        len(set(ids) - set(told)) + len(set(ids) - {each for each, _ in claimed}) + len(set(ids) - {i for (i,) in last})
    )
    # A kill in the midst of a job leaves one call at most that must be made again: the last of its process.
    inexcusable += max(0, again - busy["jobs:hooks"])
    twice = sum(count - 1 for count in told.values()) + sum(count - 1 for _, count in claimed) + inexcusable
    assert strays(any_redis_url) == []
    assert unindexed(client) == []
    assert not list(client.scan_iter("sojourn:*running:*"))
    report.row(
        "200 random SIGKILLs of roles and jobs during 2,000 expiries", injected=_KILLS, lost=lost, duplicated=twice,
        recovery_s=recovery_s,
        note=f"{busy.total()} of them in the midst of a job, {busy['jobs:hooks']} of hooks: {again} hook calls were "
        "cut short and made again; duplicated: claims, and calls made again for no such reason",
    )  # fmt: skip


@pytest.mark.long
def test_worker_and_child_killed_in_a_job(
    any_redis_url: str, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """A worker and the child that does its job are killed in the middle: the job runs again within 15 s."""
    settings = deployed(any_redis_url, hook="hold")
    deployment = Deployment(processes, settings, ("listen", "dispatch", "jobs:hooks"))
    deployment.ready()
    client.set("hold", 1)
    ids = _sessions(settings, 10, ttl=(0.2, 0.2))
    eventually(lambda: client.get("holding"), what="a hook at work")
    deployment.roles["jobs:hooks"].kill_all()
    client.delete("hold")
    began = time.monotonic()
    deployment.start("jobs:hooks")
    eventually(lambda: len(effects(client)) == 10, deadline_s=60)
    recovery_s = time.monotonic() - began
    catch_up(client, settings, deadline_s=60)
    told = Counter(each["session"] for each in effects(client))
    again = sum(count - 1 for count in calls(client).values())
    report.row(
        "worker and child killed during a job", injected=1, lost=len(set(ids) - set(told)),
        duplicated=sum(told.values()) - len(told) + again, recovery_s=recovery_s, within_s=15,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(200)
def test_killed_between_taking_a_job_and_starting_it(
    any_redis_url: str, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """A worker dies with a job taken from the queue and not begun: another one finds it there, and runs it once."""
    settings = deployed(any_redis_url)
    dying = processes.python(DIES_ON_TAKING, settings=settings)
    Deployment(processes, settings, ("listen", "dispatch")).ready()
    ids = _sessions(settings, 10, ttl=(0.2, 0.2))
    assert dying.popen.wait(20) == -signal.SIGKILL
    began = time.monotonic()
    Deployment(processes, settings, ("jobs:hooks",))
    eventually(lambda: len(effects(client)) == 10, deadline_s=150)
    recovery_s = time.monotonic() - began
    catch_up(client, settings, deadline_s=60)
    told = Counter(each["session"] for each in effects(client))
    report.row(
        "worker killed between taking a job and starting it", injected=1, lost=len(set(ids) - set(told)),
        duplicated=sum(calls(client).values()) - len(told), recovery_s=recovery_s, within_s=130,
    )  # fmt: skip


def test_what_a_killed_run_left_does_not_fail_the_next(
    any_redis_url: str, client: redis.Redis, processes: Processes
) -> None:
    """RQ keeps a killed run in mind for a minute: the periodic job's next runs succeed all the same."""
    settings = deployed(any_redis_url)
    client.zadd("rq:executions:sojourn-sweep", {"gone": time.time() + 60})
    deployment = Deployment(processes, settings, ("jobs:hooks", "schedule"))
    counted = "total_working_time"
    eventually(lambda: [each for each in client.scan_iter("rq:worker:*") if client.hget(each, counted)], deadline_s=60)
    eventually(lambda: not client.exists("rq:executions:sojourn-sweep", "rq:job:sojourn-sweep"))
    assert not client.exists("rq:failed:sojourn-hooks")
    assert not deployment.roles["jobs:hooks"].told("job failed")


def test_workers_away_for_longer_than_every_ttl(
    any_redis_url: str, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """All sessions expire while no worker runs: later each hook runs once, with all of the last state."""
    settings = deployed(any_redis_url)
    ids = _sessions(settings, 400, ttl=(0.05, 0.5))
    eventually(lambda: not list(client.scan_iter("sojourn:*:lease:*", count=1000)), what="the leases to expire")
    began = time.monotonic()
    Deployment(processes, settings, ("listen", "dispatch", "jobs:hooks"))
    eventually(lambda: len(effects(client)) == 400, deadline_s=60)
    recovery_s = time.monotonic() - began
    catch_up(client, settings, deadline_s=60)
    found = effects(client)
    told = Counter(each["session"] for each in found if each["seen"]["metadata"] == {"last": each["session"]})  # type: ignore[index]
    assert {each["seen"]["status"] for each in found} == {"expired"}  # type: ignore[index]
    assert strays(any_redis_url) == []
    report.row(
        "no worker for longer than every TTL", injected=1, lost=len(set(ids) - set(told)),
        duplicated=sum(calls(client).values()) - len(told), recovery_s=recovery_s,
        note="400 sessions, each told with its last state",
    )  # fmt: skip
