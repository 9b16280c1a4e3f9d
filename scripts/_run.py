"""The main job: every package under a folder becomes a session, is documented, ends or expires, and is archived."""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg
import redis
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from _document import Done, Package, document, packages_under, shown
from sojourn import archive
from sojourn.embedded import PostgresServer, RedisServer, bundled_redis
from sojourn.events import dispatch_group
from sojourn.keys import TenantKeys, worker_notes
from sojourn.settings import Settings, load_settings, masked

SCRIPTS = Path(__file__).resolve().parent
WRITERS = 4
SETTLED_WITHIN_S = 120.0
ENDED_WITHIN_S = 5.0
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
console = Console()


class WriterDied(Exception):
    """A writer ended before its work."""


def main() -> int:
    """Do the job; return 0 if Postgres holds just what was done."""
    options = parse()
    for number in SIGNALS:
        signal.signal(number, stop)
    packages = packages_under(options.folder)
    if not packages:
        console.print(f"There is no Python package under {shown(str(options.folder))}.", markup=False)
        return 2
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sojourn-run-")))
        try:
            return work(stack, home, packages, once=options.once)
        except WriterDied as error:
            print(f"scripts/run: {error}", file=sys.stderr)
            return 1
        finally:
            ignore_signals()


def work(stack: contextlib.ExitStack, home: Path, packages: list[Package], *, once: bool) -> int:
    """Start what is needed, do the job and tell of it."""
    configure(stack, home)
    stack.enter_context(worker(home))
    done = run_writers(home, packages)
    found = wait_until_settled(home, done)
    same = report(done, found)
    if not once:
        show_what_to_try(home)
        threading.Event().wait()
    return 0 if same else 1


def stop(*_: object) -> None:
    """At a signal, clean up and end; those that follow must not cut that short."""
    ignore_signals()
    raise KeyboardInterrupt


def ignore_signals() -> None:
    """Let the cleaning up be."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/run", description=__doc__)
    default = Path(sysconfig.get_path("stdlib"))
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=default, help=f"default: {default}")
    parser.add_argument("--once", action="store_true", help="end when all is archived, instead of staying up")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    return options


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


def run_writers(home: Path, packages: list[Package]) -> Done:
    """Document all packages in four processes, with a progress bar."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    config = str(home / "sojourn.yaml")
    writers = [
        context.Process(target=document, args=(config, packages[index::WRITERS], told), daemon=True)
        for index in range(WRITERS)
    ]
    total = sum(len(each.files) // 2 if each.abandoned else len(each.files) for each in packages)
    done, finished = Done(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{len(packages)} packages, {WRITERS} writers", total=total)
        try:
            for each in writers:
                each.start()
            while finished < WRITERS:
                # A killed writer may hold the queue's lock, so that no other is heard any more.
                codes = [each.exitcode for each in writers if each.exitcode]
                if codes:
                    raise WriterDied(f"a writer ended with {told_code(codes[0])}; nothing more is done")
                try:
                    files, result = told.get(timeout=0.2)
                except queue.Empty:
                    continue
                progress.advance(task, files)
                if result is not None:
                    done.add(result)
                    finished += 1
        finally:
            end_writers(writers, are_done=finished == WRITERS)
    return done


def end_writers(writers: Sequence[BaseProcess], *, are_done: bool) -> None:
    """Have them end, and kill one that does not."""
    deadline = time.monotonic() + ENDED_WITHIN_S
    for each in writers:
        if each.pid is not None and not are_done:
            each.terminate()
    for each in writers:
        if each.pid is not None:
            each.join(max(0.0, deadline - time.monotonic()))
            each.kill()
            each.join()


def told_code(code: int) -> str:
    """An exit code in words."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def wait_until_settled(home: Path, done: Done) -> dict[str, Any]:
    """Wait until nothing of ours waits for the archive and each end had its hook; what Postgres holds then."""
    settings = load_settings()
    keys = TenantKeys.of(settings.tenant, settings.partitions)
    client: Any = redis.Redis.from_url(settings.redis_url, decode_responses=True)
    ended = sum(done.statuses.values())
    deadline = time.monotonic() + SETTLED_WITHIN_S
    with console.status("waiting for expiries, hooks and the archive"), contextlib.closing(client):
        while True:
            waiting = [
                each for each in client.zrange(keys.partition.dirty, 0, -1) if each.startswith(keys.tenant + "/")
            ]
            hooks = hooks_that_ran(home, settings.tenant)
            found = archived(settings.archive_url or "", settings.tenant)
            settled = not waiting and hooks["events"] >= ended and found["events"] == client_events(found)
            if (settled and sum(found["statuses"].values()) >= ended) or time.monotonic() > deadline:
                return found | {"hooks": hooks, "waiting": len(waiting)}
            time.sleep(0.2)


def client_events(found: dict[str, Any]) -> int:
    """How many events the archive must hold: a session's versions are numbered without a gap, each with its event."""
    return int(found["versions"])


def hooks_that_ran(home: Path, tenant: str) -> dict[str, int]:
    """What the hook noted of our tenant; a Redis that was there before may tell of others."""
    noted = [json.loads(line) for line in (home / "hooks.jsonl").read_text().splitlines()]
    lines = [line for line in noted if line["tenant"] == tenant]
    types = Counter(line["type"] for line in {line["event"]: line for line in lines}.values())
    return {
        "calls": len(lines),
        "events": len({line["event"] for line in lines}),
        "found": len({line["event"] for line in lines if line["found"]}),
        **{f"type {name}": count for name, count in types.items()},
    }


def archived(url: str, tenant: str) -> dict[str, Any]:
    """What Postgres holds of a tenant, asked in SQL rather than through the library that wrote it."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        statuses: dict[str, int] = dict(
            connection.execute(
                "SELECT status, count(*) FROM sojourn.sessions WHERE tenant = %s GROUP BY status", (tenant,)
            ).fetchall()
        )
        sums = connection.execute(
            """SELECT coalesce(sum((data->>'processed_files')::int), 0),
                      coalesce(sum(jsonb_array_length(CASE jsonb_typeof(data->'failed_files') WHEN 'array'
                          THEN data->'failed_files' ELSE (data->>'failed_files')::jsonb END)), 0),
                      coalesce(sum((data->'metadata'->>'documented')::int), 0),
                      coalesce(sum((data->'metadata'->>'undocumented')::int), 0),
                      coalesce(sum(version), 0)
               FROM sojourn.sessions WHERE tenant = %s""",
            (tenant,),
        ).fetchone()
        notes = connection.execute(
            "SELECT count(*) FROM sojourn.session_entries WHERE tenant = %s AND log = 'notes'", (tenant,)
        ).fetchone()
        events = connection.execute(
            "SELECT count(*) FROM sojourn.session_events WHERE tenant = %s", (tenant,)
        ).fetchone()
    assert sums is not None  # noqa: S101 - aggregates always give a row
    names = ("processed", "failed", "documented", "undocumented", "versions")
    return {
        "statuses": statuses,
        **dict(zip(names, map(int, sums), strict=True)),
        "notes": notes[0] if notes else 0,
        "events": events[0] if events else 0,
    }


def report(done: Done, found: dict[str, Any]) -> bool:
    """Print what was done beside what Postgres holds; return whether they agree."""
    hooks = found["hooks"]
    rows: list[tuple[str, int, int]] = [
        (f"sessions {status}", done.statuses.get(status, 0), found["statuses"].get(status, 0))
        for status in sorted({*done.statuses, *found["statuses"]})
    ]
    rows += [
        ("files processed", done.processed, found["processed"]),
        ("files that do not parse", done.failed, found["failed"]),
        ("notes", done.notes, found["notes"]),
        ("definitions documented", done.documented, found["documented"]),
        ("definitions undocumented", done.undocumented, found["undocumented"]),
        ("events", found["versions"], found["events"]),
        ("hooks: sessions ended", done.statuses.get("completed", 0), hooks.get("type ended", 0)),
        ("hooks: sessions expired", done.statuses.get("expired", 0), hooks.get("type expired", 0)),
        ("hooks that got the last state", sum(done.statuses.values()), hooks["found"]),
        ("hooks that ran twice", 0, hooks["calls"] - hooks["events"]),
        ("sessions that wait for the archive", 0, found["waiting"]),
    ]
    table = Table("", "done", "archived", "")
    for name, ours, theirs in rows:
        table.add_row(name, str(ours), str(theirs), "ok" if ours == theirs else "DIFFERS")
    for index in (1, 2):
        table.columns[index].justify = "right"
    console.print(table)
    return all(ours == theirs for _, ours, theirs in rows)


def show_what_to_try(home: Path) -> None:
    """Print lines to copy, for each of the four ways in."""
    settings = load_settings()
    binary = Path(sys.executable).parent
    redis_cli = shutil.which("redis-cli") or Path(bundled_redis()).parent / "redis-cli"
    config = f"SOJOURN_CONFIG={shlex.quote(str(home / 'sojourn.yaml'))}"
    keys = TenantKeys.of(settings.tenant, settings.partitions)
    # The passwords of servers that are not ours stay where they are.
    redis_url = settings.redis_url if (home / "redis").exists() else '"$SOJOURN_REDIS_URL"'
    archive_url = f"'{settings.archive_url}'" if (home / "postgres").exists() else '"$SOJOURN_ARCHIVE_URL"'
    console.print("\nIt stays up until Ctrl-C. Try, in another terminal:\n", markup=False)
    for line in (
        f"{redis_cli} -u {redis_url} ZRANGE '{keys.status_index('documentation', 'completed')}' 0 3",
        f"{redis_cli} -u {redis_url} XREVRANGE '{keys.partition.events}' + - COUNT 2",
        f"psql {archive_url} -c 'TABLE sojourn.sessions LIMIT 3'",
        f"{config} {binary}/sojourn create --owner you --ttl 10s",
        f"{config} {binary}/sojourn list",
        f"{config} {binary}/sojourn archive list --status expired",
        f"{config} {binary}/python -c 'from sojourn import SessionStore; print(SessionStore().list().sessions)'",
    ):
        print(f"  {line}")


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
