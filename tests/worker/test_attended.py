"""What the doctor tells of jobs that wait, with real workers and without."""

from __future__ import annotations

from typing import Any

import redis
from rq import Queue, Worker
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn import SessionStore
from sojourn.doctor import Finding, examine
from sojourn.metrics import read_metrics
from sojourn.settings import Settings


def _jobs(settings: Settings) -> Finding:
    return next(each for each in examine(settings) if each.check == "jobs")


def _greedy(settings: Settings) -> list[Finding]:
    found = examine(settings, only=["workers"])
    return [each for each in found if each.check == "workers" and "several queues" in each.found]


def test_jobs_wait_until_a_worker_comes(any_redis_url: str, processes: Processes) -> None:
    """A dispatcher without a worker: a warning that tells the queue; a worker counts as there until it stops."""
    hook = {"events": ["created"], "function": "tests.worker.hook_functions:record"}
    hooks: dict[str, Any] = {"watch": hook}
    settings = settings_for(any_redis_url, hooks=hooks)
    processes.role("dispatch", settings).logged("dispatching")
    with SessionStore(settings=settings) as store:
        store.create()
    eventually(lambda: _jobs(settings).severity == "warning")
    assert _jobs(settings).found == "1 jobs wait in sojourn-hooks and no worker is there"
    worker = processes.role("jobs:hooks", settings)
    eventually(lambda: _jobs(settings).severity == "ok", deadline_s=60)
    eventually(lambda: read_metrics(settings).workers == {"sojourn-hooks": 1, "sojourn-archive": 0})
    assert worker.stop() == 0
    assert read_metrics(settings).workers["sojourn-hooks"] == 0


def test_a_worker_at_several_queues(any_redis_url: str) -> None:
    """RQ's own takes as many as it is given: an error that names it and its queues; one for each queue is none."""
    settings = settings_for(any_redis_url)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url) as client:
        store.count()
        queues = [Queue(name, connection=client) for name in ("sojourn-hooks", "other")]
        single: Any = Worker(queues[:1], connection=client)
        greedy: Any = Worker(queues, connection=client, name="greedy")
        single.register_birth()
        assert _greedy(settings) == []
        greedy.register_birth()
        (found,) = _greedy(settings)
        assert "1 workers take jobs from several queues: 'greedy' takes from sojourn-hooks and other" in found.found
        look = "redis-cli -u $SOJOURN_REDIS_URL HMGET rq:worker:greedy hostname pid"
        assert (found.severity, found.commands) == ("error", (look, "sojourn worker"))
        assert read_metrics(settings).workers == {"sojourn-hooks": 2, "sojourn-archive": 0}
        greedy.register_death()
        assert _greedy(settings) == []
