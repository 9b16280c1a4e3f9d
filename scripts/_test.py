"""The checks, then pytest: what `scripts/test` runs inside the environment.

Without arguments, or with such as leave the choice of tests alone (`-x`, `-v`), branch coverage is measured
and held against the floor in pyproject.toml, and tests marked `long` are left to `scripts/faults`: they take minutes,
and measure times, for which they have to run one by one. A subset (a path, `-k`, `-m` ...) runs without coverage, and
as it was asked for.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest

ROOT = Path(__file__).resolve().parent.parent
# Every process that the tests start inherits it, and so can be told from those of another run.
_RUN = "SOJOURN_TEST_RUN"
_SELECTING = (
    "-k",
    "-m",
    "--lf",
    "--last-failed",
    "--sw",
    "--stepwise",
    "--deselect",
    "--ignore",
    "--co",
    "--collect-only",
)
# Embedded servers notice the end of their owner by themselves; that long it may take.
_GRACE_S = 10.0


def selects(arguments: list[str]) -> bool:
    """Tell whether pytest ``arguments`` choose some of the tests."""
    for argument in arguments:
        if argument.startswith("-"):
            if argument.partition("=")[0] in _SELECTING or argument[:2] in ("-k", "-m"):
                return True
        elif Path(argument.partition("::")[0]).exists():
            return True
    return False


def pytest_arguments(arguments: list[str], cores: int) -> list[str]:
    """Return the full pytest command line for the user's ``arguments`` on a machine with ``cores`` cores."""
    defaults = []
    if cores >= 2 and "--pdb" not in arguments:
        # One more than CI has cores: much of their time tests wait for processes. What is left in the end is shared out
        # again, so that none works alone at tests that take long.
        defaults += ["-n", "3", "--dist", "worksteal"]
    if not selects(arguments):
        defaults += ["--cov", "--cov-report=term", "-m", "not long"]
    return [*defaults, *arguments]


def leftovers(run: str) -> list[psutil.Process]:
    """Return the processes of this run that are there besides this one."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(_RUN) == run
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has ended, or is somebody else's
    return found


def end_leftovers(run: str) -> int:
    """Give processes of this run the time to end, kill the others; return how many that were."""
    deadline = time.monotonic() + _GRACE_S
    while (left := leftovers(run)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        print(f"[test] left behind, killed: {process.pid} {process.name()}", flush=True)
        process.kill()
    return len(left)


def main(arguments: list[str]) -> int:
    """Run the checks and the tests; return 0 if both passed."""

    def work() -> int:
        checks = subprocess.run([sys.executable, str(ROOT / "scripts" / "_check.py")], check=False).returncode  # noqa: S603
        full = pytest_arguments(arguments, os.cpu_count() or 1)
        print(f"[test] pytest {' '.join(full)}", flush=True)
        tests = int(pytest.main(full))
        return tests or checks

    return guarded("test", work)


def guarded(name: str, work: Callable[[], int]) -> int:
    """Run tests in a folder of their own, and see to it that no process of theirs is left; return their status."""
    # Also where this was started with SIGINT ignored (`scripts/test &` in a script), and so that
    # every way to end it is the orderly one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    started = time.monotonic()
    os.chdir(ROOT)
    folder = tempfile.mkdtemp(prefix="sojourn-test-")
    os.environ[_RUN] = folder
    # Compiling the project takes a third of what a process does until it has started, and there are hundreds of them.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Two runs at once in one checkout must not mix their data.
    os.environ["COVERAGE_FILE"] = str(Path(folder) / "coverage")
    os.environ["TMPDIR"] = folder
    tempfile.tempdir = folder
    status = 130
    left = 0
    try:
        status = work()
    except KeyboardInterrupt:
        print(f"[{name}] interrupted", flush=True)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave processes behind
        left = end_leftovers(folder)
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"[{name}] {'passed' if not status and not left else 'failed'}, {time.monotonic() - started:.1f} s",
        flush=True,
    )
    return status or (1 if left else 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
