"""What the main job runs on: servers, a settings file that names them, and a worker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
import yaml
from rich.console import Console

from sojourn import archive
from sojourn.embedded import PostgresServer, RedisServer
from sojourn.events import dispatch_group
from sojourn.keys import worker_notes
from sojourn.settings import Settings, load_settings, masked

__all__ = ["configure", "worker"]

SCRIPTS = Path(__file__).resolve().parent
console = Console()


def configure(stack: contextlib.ExitStack, home: Path) -> None:
    """Start the servers that the environment does not name, and write a settings file that names all."""
    redis_url, archive_url = os.environ.get("SOJOURN_REDIS_URL"), os.environ.get("SOJOURN_ARCHIVE_URL")
    ours = redis_url is None
    if redis_url is None:
        redis_url = stack.enter_context(RedisServer.start(home / "redis")).url
        console.print(f"Redis       {redis_url}")
    if archive_url is None:
        archive_url = stack.enter_context(PostgresServer.start(home / "postgres")).url
        console.print(f"PostgreSQL  {masked(archive_url)}")
    # A tenant of its own: the servers may hold other sessions, and another run may be under way.
    settings = {
        "redis_url": redis_url,
        "archive_url": archive_url,
        "tenant": f"run-{uuid.uuid4().hex[:8]}",
        "queue_prefix": f"sojourn-{uuid.uuid4().hex[:8]}",
        "archive_interval": 1.0,
        "hooks": {"note-end": {"events": ["ended", "expired"], "function": "run_hooks:note_end"}},
    }
    config = home / "sojourn.yaml"
    config.write_text(yaml.safe_dump(settings))
    config.chmod(0o600)
    # What is set for other programs, a tenant or hooks, would go before what the file says.
    for name in [each for each in os.environ if each.upper().startswith("SOJOURN_") and each != "SOJOURN_VENV"]:
        del os.environ[name]
    os.environ["SOJOURN_CONFIG"] = str(config)
    archive.init(archive_url)
    if not ours:
        stack.callback(forget_deployment, load_settings())


def forget_deployment(settings: Settings) -> None:
    """Take our queues and our group from a Redis that stays: an outbox keeps what a group has not read."""
    prefix, group = settings.queue_prefix, dispatch_group(settings.queue_prefix)
    queues = [f"{prefix}-{kind}" for kind in ("hooks", "archive")]
    client: Any = redis.Redis.from_url(settings.redis_url, decode_responses=True)
    with contextlib.closing(client), contextlib.suppress(redis.RedisError):  # gone, and our keys with it
        for partition in settings.all_partitions:
            if client.exists(partition.events):
                client.xgroup_destroy(partition.events, group)
        for pattern in (f"*:{prefix}-*", f"{prefix}:*", f"*:{prefix}.*"):
            for key in client.scan_iter(pattern, count=1000):
                client.delete(key)
        for key in client.scan_iter("rq:job:note-end-*", count=1000):
            if client.hget(key, "origin") in queues:
                job = key.removeprefix("rq:job:")
                client.delete(key, f"rq:results:{job}", f"rq:executions:{job}")
        client.delete(worker_notes(prefix))
        client.srem("rq:queues", *[f"rq:queue:{each}" for each in queues])


@contextlib.contextmanager
def worker(home: Path) -> Iterator[None]:
    """Run ``sojourn worker`` for the duration of the block; a pipe ends it should this process be killed."""
    log = home / "worker.log"
    environment = os.environ | {
        "SOJOURN_RUN_HOOKS": str(home / "hooks.jsonl"),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH")))),
    }
    (home / "hooks.jsonl").touch()
    with log.open("wb") as output:
        command = [str(Path(sys.executable).parent / "sojourn"), "worker", "--lifeline"]
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
        if process.poll() is not None:
            console.print(f"The worker has ended with status {process.returncode}:\n{log.read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.close()
