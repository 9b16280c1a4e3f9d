"""A worker's child ends with the worker, and a second signal costs no job its tries."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]
import pytest
import redis
from tests.faults.deployment import deployed
from tests.faults.hook_functions import calls, effects
from tests.faults.report import Report
from tests.waiting import eventually
from tests.worker.processes import Processes

from sojourn import SessionStore
from sojourn.dead import DeadLetters
from sojourn.settings import Settings

QUEUE = "rq:queue:sojourn-hooks"


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as found:
        yield found


def _ended(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _held(settings: Settings, client: redis.Redis, processes: Processes) -> None:
    """Have an event of an ended session wait in a job for a hook that takes for ever."""
    client.set("hold", 1)
    for role, ready in (("listen", "listening"), ("dispatch", "dispatching")):
        processes.role(role, settings).logged(ready)
    with SessionStore(settings=settings) as store:
        store.create(ttl=0.05)
    eventually(lambda: client.llen(QUEUE), what="a job")


def test_the_child_ends_with_its_worker(
    any_redis_url: str, client: redis.Redis, processes: Processes, report: Report
) -> None:
    """SIGKILL to the worker alone: the child in which its job runs is gone within 2 s."""
    settings = deployed(any_redis_url, hook="hold")
    _held(settings, client, processes)
    worker = processes.role("jobs:hooks", settings)
    child = psutil.Process(int(str(eventually(lambda: client.get("holding"), deadline_s=60, what="a hook at work"))))
    assert child.pid != worker.pid
    try:
        worker.popen.kill()
        worker.popen.wait(5)
        began = time.monotonic()
        eventually(lambda: _ended(child), deadline_s=2, what="the child's end")
        recovery_s = time.monotonic() - began
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    assert effects(client) == []
    report.row(
        "worker killed, but not the child that does its job", injected=1, lost=0, duplicated=len(effects(client)),
        recovery_s=recovery_s, within_s=2, note="until the child was gone, too",
    )  # fmt: skip


def test_hurrying_uses_up_no_try(any_redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """A worker is hurried three times in the midst of a job that may be tried once: the fourth worker does it."""
    hook = {"events": ["expired"], "function": "tests.faults.hook_functions:hold", "retries": 0}
    settings = deployed(any_redis_url, hooks={"told": hook}, drain_timeout=60).model_copy(update={"log_level": "debug"})
    _held(settings, client, processes)
    (job_id,) = client.lrange(QUEUE, 0, -1)
    for _ in range(3):
        worker = processes.role("jobs:hooks", settings)
        eventually(lambda: client.get("holding"), deadline_s=60, what="a hook at work")
        worker.popen.send_signal(signal.SIGTERM)
        worker.logged("warm shut down requested")
        worker.stop(signal.SIGINT)
        assert client.lrange(QUEUE, 0, -1) == [job_id]
        assert not list(client.scan_iter("sojourn:*/tries:*"))
        client.delete("holding")
    client.delete("hold")
    processes.role("jobs:hooks", settings)
    eventually(lambda: effects(client), deadline_s=60)
    assert list(calls(client).values()) == [1]
    with DeadLetters(settings) as letters:
        assert letters.list().letters == ()
