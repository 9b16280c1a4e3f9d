"""Hooks that do harm, and jobs that nobody should run."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Callback, Queue
from rq.serializers import JSONSerializer
from rq.webhook import Webhook
from tests.faults.deployment import Deployment, deployed
from tests.faults.hook_functions import calls, effects
from tests.faults.report import Report
from tests.waiting import eventually
from tests.worker.processes import Processes

from sojourn import SessionStore
from sojourn.dead import DeadLetters
from sojourn.settings import Settings
from sojourn_worker.queues import RUN_HOOK, RUN_SWEEP, backoff, connect

HARMS = ("raises", "hangs", "exits", "eats")


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as found:
        yield found


def _replay_all(settings: Settings, tmp_path: Path) -> None:
    config = tmp_path / "sojourn.yaml"
    config.write_text(json.dumps(settings.model_dump(mode="json", exclude_unset=True)))
    given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    command = [sys.executable, "-m", "sojourn.cli", "dead", "replay", "--all"]
    subprocess.run(command, env=given | {"SOJOURN_CONFIG": str(config)}, check=True, timeout=30)


@pytest.mark.long
def test_poison(any_redis_url: str, client: redis.Redis, processes: Processes, report: Report, tmp_path: Path) -> None:
    """Of 24 events one raises, one hangs, one exits, one eats memory: all others go on; those four wait, dead."""
    hook = "tests.faults.hook_functions:poison"
    poisoned: dict[str, Any] = {"events": ["created"], "function": hook, "batch": 12, "timeout": 2, "retries": 2}
    settings = deployed(any_redis_url, hooks={"told": {**poisoned, "memory_mb": 200}})
    client.set("harm", 1)
    with SessionStore(settings=settings) as store:
        owners = [HARMS[n // 6] if n % 6 == 0 else "ada" for n in range(24)]
        made = store.create_many([{"owner": owner} for owner in owners])
    began = time.monotonic()
    Deployment(processes, settings, ("dispatch", "jobs:hooks"))
    eventually(lambda: len(effects(client)) == 20, deadline_s=60, what="the sound events")
    sound_s = time.monotonic() - began
    with DeadLetters(settings) as letters:
        eventually(lambda: len(letters.list().letters) == 4, deadline_s=60, what="four dead letters")
        assert {each.tries for each in letters.list().letters} == {3}
        for harm in HARMS:
            times = [float(str(each)) for each in client.lrange(f"harm:{harm}", 0, -1)]
            assert len(times) == 3, harm
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert gaps[0] > 0.9, harm
            assert gaps[1] > 1.9, harm
        assert set(calls(client).values()) == {1}
        client.delete("harm")
        began = time.monotonic()
        _replay_all(settings, tmp_path)
        eventually(lambda: len(effects(client)) == 24, deadline_s=60, what="the replayed events")
        recovery_s = time.monotonic() - began
        eventually(lambda: not letters.list().letters)
    told = Counter(str(each["session"]) for each in effects(client))
    report.row(
        "hook raises, hangs, exits, eats memory", injected=4, lost=len({each.id for each in made} - set(told)),
        duplicated=sum(calls(client).values()) - len(told), recovery_s=recovery_s,
        note=f"tried 3 times each, then dead letters; the other 20 events done within {sound_s:.0f} s; "
        "replayed once mended",
    )  # fmt: skip


def test_foreign_jobs_are_refused(
    any_redis_url: str, client: redis.Redis, processes: Processes, tmp_path: Path, report: Report
) -> None:
    """A job that names another function, a callback, a method, a webhook or a hook does not run, and is counted."""
    settings = deployed(any_redis_url)
    mark = tmp_path / "mark"
    command = f"touch {mark}"
    callback = Callback("os.system")
    connection = connect(settings)
    queue = Queue("sojourn-hooks", connection=connection, serializer=JSONSerializer)
    refused = [
        queue.enqueue_call("os.system", args=[command]),
        queue.enqueue_call("sojourn_worker.jobs._config.current"),
        queue.enqueue_call("sojourn_worker.hooks.resolve", args=["os:system"]),
        queue.enqueue_call(RUN_SWEEP, on_success=callback),
        queue.enqueue_call(RUN_SWEEP, on_failure=callback),
        queue.enqueue_call(RUN_SWEEP, on_stopped=callback),
        queue.enqueue_call(RUN_SWEEP, webhooks=[Webhook("http://127.0.0.1:9/", "finished")]),
        queue.enqueue_call("os.system", args=[command], retry=backoff(3)),
    ]
    method = queue.create_job("format", args=[])
    method.instance = "{}"
    method._func_name = "format"
    refused.append(queue.enqueue_job(method))
    hook = queue.enqueue_call(RUN_HOOK, args=["os:system", [command]])
    good = queue.enqueue_call(RUN_SWEEP, result_ttl=60)
    worker = processes.role("jobs:hooks", settings)
    eventually(lambda: good.get_status() == "finished", deadline_s=60)
    assert [job.get_status() for job in (*refused, hook)] == ["failed"] * 10
    assert len(worker.told("job refused")) == len(refused)
    assert "os:system" not in worker.log
    assert not mark.exists()
    assert not client.llen("rq:queue:sojourn-hooks:intermediate")
    counted = int(str(client.hget("sojourn:counts", "refused_jobs")))
    assert worker.stop() == 0
    connection.close()
    report.row(
        "jobs with a function, callback or hook that is not allowed", injected=len(refused) + 1,
        lost=max(0, len(refused) + 1 - counted), duplicated=max(0, counted - len(refused) - 1),
        note="none ran; all were logged and counted; the good job behind them ran",
    )  # fmt: skip
