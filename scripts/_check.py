"""Lint, format check and type check; all of them run, and the status tells whether all were content."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def commands_without_suffix() -> list[str]:
    """Return the commands in this folder: Python files which, for lack of `.py`, no tool finds by itself."""
    first_lines = {
        path: path.read_text("utf-8").partition("\n")[0]
        for path in sorted((ROOT / "scripts").iterdir())
        if path.is_file() and not path.suffix
    }
    return [str(path.relative_to(ROOT)) for path, line in first_lines.items() if line.endswith("python3")]


@contextlib.contextmanager
def mypy_cache() -> Iterator[None]:
    """Keep other runs away from mypy's cache: two at once in it make mypy crash."""
    folder = ROOT / ".mypy_cache"
    folder.mkdir(exist_ok=True)
    with (folder / "in-use").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Run the tools one after the other; return 0 if each was content, else 1."""
    sources = [".", *commands_without_suffix()]
    tools = {
        "ruff check": ["ruff", "check", *sources],
        "ruff format": ["ruff", "format", "--check", *sources],
        "mypy": ["mypy"],
    }
    failed = []
    for name, command in tools.items():
        print(f"[check] {name}", flush=True)
        started = time.monotonic()
        with mypy_cache() if name == "mypy" else contextlib.nullcontext():
            status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode  # noqa: S603
        if status != 0:
            failed.append(name)
        print(f"[check] {name}: {'failed' if status else 'ok'}, {time.monotonic() - started:.1f} s", flush=True)
    if failed:
        print(f"[check] failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
