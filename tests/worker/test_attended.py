"""What the doctor tells of jobs that wait, with real workers and without."""

from __future__ import annotations

from typing import Any

from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn import SessionStore
from sojourn.doctor import Finding, examine
from sojourn.metrics import read_metrics
from sojourn.settings import Settings


def _jobs(settings: Settings) -> Finding:
    return next(each for each in examine(settings) if each.check == "jobs")


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
