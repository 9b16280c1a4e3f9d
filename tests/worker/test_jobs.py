"""What jobs may run: the allow-list, and nothing that anybody wrote into Redis."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from rq import Callback, Queue
from rq.serializers import JSONSerializer
from tests.conftest import OwnRedis
from tests.waiting import eventually
from tests.worker.processes import Processes, expired_events, settings_for

from sojourn import ArchiveUnavailable, SessionStore
from sojourn.archive import init
from sojourn.settings import ArchiveRetention, HookSettings, Settings
from sojourn_worker import config, jobs
from sojourn_worker.queues import ALLOWED, HOOKS, RUN_SWEEP, SafeJob, backoff, connect, open_queue

PREFIX = "sojourn-hooks"


@pytest.fixture
def settings(any_redis_url: str) -> Settings:
    """Give settings for one Redis."""
    return settings_for(any_redis_url)


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    """Give the hooks' queue as anyone who can write to Redis sees it."""
    connection = connect(settings)
    yield Queue(PREFIX, connection=connection, serializer=JSONSerializer)
    connection.close()


def test_the_allow_list_is_what_the_module_offers() -> None:
    """A job may name exactly the functions of `jobs`."""
    assert {f"sojourn_worker.jobs.{name}" for name in jobs.__all__} == ALLOWED
    public = {name for name in vars(jobs) if not name.startswith("_")}
    assert public - {"annotations", "Mapping", "Sequence", "Any"} == set(jobs.__all__)


def test_an_abandoned_job_s_callback_is_not_run(
    settings: Settings, queue: Queue, processes: Processes, tmp_path: Path
) -> None:
    """RQ calls the failure callback of jobs that it finds abandoned, in the worker itself: not here."""
    job = queue.create_job(RUN_SWEEP, on_failure=Callback("os.system"))
    job.save()
    queue.connection.zadd(f"rq:wip:{PREFIX}", {f"{job.id}:execution": 1})
    worker = processes.role("jobs:hooks", settings)
    worker.tells("job lost its worker")
    eventually(lambda: job.get_status() == "failed")
    assert queue.connection.hget("sojourn:counts", "lost_workers") == b"1"
    assert worker.told("job refused")
    assert worker.popen.poll() is None


def test_unreadable_jobs_do_not_end_the_worker(settings: Settings, queue: Queue, processes: Processes) -> None:
    """Hashes that are no jobs, content that is no JSON and pickles are dropped or failed; the next job runs."""
    client = queue.connection
    names = ["bad-status", "no-data", "text", "pickle"]
    data = zlib.compress(json.dumps([RUN_SWEEP, None, [], {}]).encode())
    client.hset("rq:job:bad-status", mapping={"data": data, "status": "nonsense", "created_at": "x"})
    client.hset("rq:job:no-data", mapping={"status": "queued"})
    client.set("rq:job:text", "hello")
    client.hset("rq:job:pickle", mapping={"data": b"cos\nsystem\n(S'true'\ntR.", "origin": PREFIX})
    client.zadd(f"rq:scheduled:{PREFIX}", {"bad-status": 1, "gone": 1})
    client.rpush(f"rq:queue:{PREFIX}", *names)
    good = queue.enqueue_call(RUN_SWEEP, result_ttl=60)
    worker = processes.role("jobs:hooks", settings)
    eventually(lambda: good.get_status() == "finished", deadline_s=60)
    assert client.zscore(f"rq:failed:{PREFIX}", "pickle")
    eventually(lambda: not client.zcard(f"rq:scheduled:{PREFIX}"))
    eventually(lambda: int(client.hget("sojourn:counts", "unreadable_jobs") or 0) == worker.log.count("is dropped"))
    assert worker.log.count("is dropped") >= 2
    assert worker.popen.poll() is None


def test_ids_that_are_no_text_do_not_end_the_worker(settings: Settings, queue: Queue, processes: Processes) -> None:
    """Bytes that are no id, wherever a worker reads ids, are dropped; the worker stays and takes the next job."""
    client, bad = queue.connection, b"\xff\xfe"
    client.rpush(f"rq:queue:{PREFIX}", bad)
    client.rpush(f"rq:queue:{PREFIX}:intermediate", bad)
    client.zadd(f"rq:scheduled:{PREFIX}", {bad: 1})
    client.zadd(f"rq:wip:{PREFIX}", {bad: 1})
    good = queue.enqueue_call(RUN_SWEEP, result_ttl=60)
    worker = processes.role("jobs:hooks", settings)
    eventually(lambda: good.get_status() == "finished", deadline_s=60)
    keys = [f"rq:scheduled:{PREFIX}", f"rq:wip:{PREFIX}", f"rq:queue:{PREFIX}", f"rq:queue:{PREFIX}:intermediate"]
    eventually(lambda: not client.exists(*keys))
    eventually(lambda: int(client.hget("sojourn:counts", "unreadable_jobs") or 0) == worker.log.count("is dropped"))
    assert worker.log.count("is dropped") >= 3
    assert "quitting" not in worker.log
    assert not worker.told("outage begins")


def test_a_job_taken_but_not_begun_comes_back(settings: Settings, queue: Queue, processes: Processes) -> None:
    """A worker killed between taking a job and beginning it does not take the job along."""
    job = queue.enqueue_call(RUN_SWEEP, result_ttl=60)
    queue.connection.lmove(f"rq:queue:{PREFIX}", f"rq:queue:{PREFIX}:intermediate")
    queue.connection.set(f"rq:queue:{PREFIX}:intermediate:first_seen:{job.id}", time.time() - 11)
    processes.role("jobs:hooks", settings)
    eventually(lambda: job.get_status() == "finished", deadline_s=60)


def test_a_worker_survives_a_restart_of_redis(own_redis: OwnRedis, processes: Processes) -> None:
    """Redis goes while a worker waits for jobs: the role stays, and works on when Redis is back."""
    server = own_redis({"appendonly": "yes"})
    settings = settings_for(server.url)
    worker = processes.role("jobs:hooks", settings)
    worker.logged("working on queue")
    server.stop()
    server.restart()
    connection = connect(settings)
    job = open_queue(settings, HOOKS, connection).enqueue_call(RUN_SWEEP, result_ttl=60)
    eventually(lambda: job.get_status() == "finished", deadline_s=60)
    assert worker.stop() == 0
    connection.close()


def test_the_backstop_sweep_claims(settings: Settings, any_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no listener at all, the job `sweep` claims what is due, in as many batches as it takes."""
    monkeypatch.setattr(config, "_used", settings.model_copy(update={"sweep_batch": 3}))
    with SessionStore(settings=settings) as store:
        sessions = [store.for_tenant(f"t{n % 3}").create(ttl=0.001) for n in range(20)]
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        jobs.sweep()
        assert len(expired_events(client, settings)) == len(sessions)


def test_an_archive_that_is_away_is_told_in_a_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The archive job fails with one line in the log, and RQ tries it again."""
    away = settings.model_copy(update={"archive_url": "postgresql://ada:secret@127.0.0.1:9/none"})
    monkeypatch.setattr(config, "_used", away)
    with SessionStore(settings=settings) as store:
        store.create()
    caplog.set_level("INFO", "sojourn")
    with pytest.raises(ArchiveUnavailable):
        jobs.archive()
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_retention_removes_what_the_settings_no_longer_keep(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rules reach the worker, the job applies them, and one line says what went."""
    init(postgres_url)
    rules = (ArchiveRetention(status="failed", keep=None), ArchiveRetention(keep=timedelta(days=1)))
    ruled = settings.model_copy(update={"archive_url": postgres_url, "archive_retention": rules})
    ruled = config.from_line(config.to_line(ruled))
    assert ruled.archive_retention == rules
    monkeypatch.setattr(config, "_used", ruled)
    with SessionStore(settings=ruled) as store:
        kept = store.fail(store.create().id)
        store.complete(store.create().id)
        jobs.archive()
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE sojourn.sessions SET ended_at = now() - interval '2 days'")
        caplog.set_level("INFO", "sojourn.worker")
        caplog.clear()
        jobs.retention()
        jobs.retention()
        assert [each.id for each in store.archive.list().sessions] == [kept.id]
    assert [each.message.partition(" duration_ms=")[0] for each in caplog.records] == [
        "retention applied sessions=1 stray_events=0 audit_rows=0"
    ]


SWALLOWER = """
import logging, os, signal, sys
from sojourn_worker import config
from sojourn_worker.stop import Stop
from sojourn_worker.worker import work

class Swallower(logging.Handler):
    def emit(self, record):
        if "dequeueing" in record.getMessage():
            logging.getLogger("rq.worker").removeHandler(self)
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Exception:
                print("swallowed", flush=True)

logging.getLogger("rq.worker").setLevel("DEBUG")
logging.getLogger("rq.worker").addHandler(Swallower())
stop = Stop()
stop.install()
sys.exit(work(config.from_line(sys.stdin.buffer.readline()), stop, "hooks"))
"""


def test_a_request_to_stop_is_kept_where_it_is_swallowed(settings: Settings, processes: Processes) -> None:
    """RQ raises in whatever runs when the signal comes; a log handler lets nothing out."""
    worker = processes.python(SWALLOWER, settings=settings)
    worker.logged("swallowed")
    assert worker.popen.wait(20) == 0


def test_retries_are_doubled_up_to_five_minutes() -> None:
    """1, 2, 4 ... seconds; none where none is wanted."""
    retry = backoff(12)
    assert retry is not None
    assert retry.intervals == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert backoff(0) is None


def test_settings_reach_a_child_exactly(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through the pipe every setting arrives as it is, whatever the environment and the file say."""
    given = settings.model_copy(
        update={
            "ttl": None,
            "archive_url": None,
            "queue_url": "redis://:s3cret@h/1",
            "models": ("a:B",),
            "hooks": {"own": HookSettings(events=("created",), function="a:b")},
        }
    )
    other = {"events": ["ended"], "function": "c:d"}
    monkeypatch.setenv("SOJOURN_TTL", "60")
    monkeypatch.setenv("SOJOURN_HOOKS", json.dumps({"other": other, "own": {"retries": 1}}))
    monkeypatch.setenv("SOJOURN_HOOKS__OWN__TIMEOUT", "7")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sojourn.yaml").write_text(json.dumps({"hooks": {"third": other}, "limits": {"depth": 5}}))
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", "postgresql://other")
    assert config.from_line(config.to_line(given)).__dict__ == given.__dict__
    job: Any = SafeJob("x", connection=object())
    assert job.serializer is JSONSerializer
