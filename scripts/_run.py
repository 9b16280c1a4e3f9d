"""The main job: every package under a folder becomes a session, is documented, ends or expires, and is archived."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue
import shlex
import shutil
import signal
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from _document import Done, Package, document, packages_under, shown
from _run_deployment import configure, worker
from _run_outcome import report, wait_until_settled
from sojourn.embedded import bundled_redis
from sojourn.keys import TenantKeys
from sojourn.settings import load_settings

WRITERS = 4
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
