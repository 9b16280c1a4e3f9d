"""Workers asked to stop once, and asked again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
import redis
from tests.faults.deployment import Deployment, deployed
from tests.faults.hook_functions import calls, effects
from tests.faults.report import Report
from tests.waiting import eventually
from tests.worker.processes import Processes

from sojourn import SessionStore

SUPERVISOR = """
import sys
from sojourn_worker import config
from sojourn_worker.supervise import supervise
sys.exit(supervise(config.from_line(sys.stdin.buffer.readline())))
"""


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as found:
        yield found


def _create(url: str, count: int) -> None:
    with SessionStore(settings=deployed(url)) as store:
        store.create_many([{}] * count, ttl=0.05)


@pytest.mark.long
def test_a_signal_drains_and_a_second_one_hurries(
    any_redis_url: str, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """SIGTERM lets the job in hand end, within the timeout; at a second one it is back in its queue at once."""
    slow = deployed(any_redis_url, hook="linger", drain_timeout=10)
    supervisor = processes.python(SUPERVISOR, settings=slow)
    supervisor.logged("working on queue")
    _create(any_redis_url, 3)
    eventually(lambda: client.get("holding"), deadline_s=60, what="a hook at work")
    began = time.monotonic()
    assert supervisor.stop() == 0
    drained_s = time.monotonic() - began
    assert len(effects(client)) == 3
    assert not client.llen("rq:queue:sojourn-hooks")
    report.row(
        "SIGTERM during a job", injected=1, lost=3 - len(effects(client)),
        duplicated=sum(calls(client).values()) - 3, recovery_s=drained_s, within_s=10, note="the job in hand was done",
    )  # fmt: skip

    client.delete("holding", "effects", "calls")
    client.set("hold", 1)
    stuck = deployed(any_redis_url, hook="hold", drain_timeout=60)
    supervisor = processes.python(SUPERVISOR, settings=stuck)
    supervisor.logged("working on queue")
    _create(any_redis_url, 3)
    eventually(lambda: client.get("holding"), deadline_s=60, what="a hook at work")
    supervisor.popen.send_signal(signal.SIGTERM)
    supervisor.tells("stopping", within_s=60)
    supervisor.stop(timeout_s=5)
    back = client.lrange("rq:queue:sojourn-hooks", 0, -1)
    assert [each for each in back if str(each).startswith("told-")]
    client.delete("hold")
    began = time.monotonic()
    Deployment(processes, stuck, ("jobs:hooks",))
    eventually(lambda: len(effects(client)) == 3, deadline_s=60)
    report.row(
        "a second SIGTERM during a job", injected=1, lost=3 - len(effects(client)),
        duplicated=sum(calls(client).values()) - 3, recovery_s=time.monotonic() - began, within_s=5,
        note="the job went back into its queue, and ran in the next worker",
    )  # fmt: skip
