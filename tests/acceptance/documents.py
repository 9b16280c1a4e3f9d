"""The documents as a reader has them: their fenced blocks, and the commands in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sojourn.embedded import bundled_redis

__all__ = ["ROOT", "commands", "fenced", "on_path", "run", "sections"]

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fenced(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [match[2] for match in _BLOCK.finditer(text) if match[1] == language]


def commands(text: str) -> list[str]:
    """Return the commands that are typed at a prompt."""
    return [line[2:] for block in fenced(text, "console") for line in block.splitlines() if line.startswith("$ ")]


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield the headings of the second level, each with what is under it."""
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = part.partition("\n")
        yield heading, rest


def on_path() -> str:
    """Return a PATH with the project's commands and redis-cli on it."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(Path(bundled_redis()).parent)])


def run(
    command: str,
    environment: dict[str, str],
    *,
    folder: Path = ROOT,
    timeout: float = 100,
    codes: tuple[int, ...] = (0,),
) -> str:
    """Run a shell command; return what it printed.

    Raises:
        AssertionError: its exit code is none of `codes`.
    """
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout,
        check=False,
    )  # fmt: skip
    assert done.returncode in codes, f"{command}\nstatus {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
