"""The documents as a reader has them: their fenced blocks, the commands in them, and what is to be done with each.

A block says by its language how it is tried, and by what stands before it that it is not, and why:

- ``python`` runs, in one namespace for the page; with a title it is a file of the page's folder instead.
- ``console`` and ``sh`` are typed into one shell for the page; what stands below a command is what it prints.
- ``text`` right after one of these is what that printed; ``...`` stands for anything.
- ``yaml`` is settings, valid ones; titled ``sojourn.yaml`` it is the page's settings file.
- ``mermaid`` can be drawn.
- ``<!-- not run: reason -->`` before a block: it is not tried. ``<!-- exit: 6 7 -->``: so its commands may end.
  ``<!-- eventually -->``: it is tried again until it prints what it should, for what a worker does meanwhile.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sojourn.embedded import bundled_redis

__all__ = ["PAGES", "ROOT", "Block", "blocks", "commands", "fenced", "on_path", "run", "sections"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>not run|exit|eventually)(?:: (?P<detail>[^>]*?))? -->\n+)?"
    r"^```(?P<language>[\w-]*)(?: +title=\"(?P<title>[^\"]+)\")?[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str | None
    text: str
    mark: str | None
    detail: str
    follows: bool
    """Whether nothing but empty lines is between it and the block before."""

    @property
    def where(self) -> str:
        """The place, as editors understand it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    end = None
    for each in _FENCE.finditer(text):
        yield Block(
            page=page,
            line=text.count("\n", 0, each.start("text")),
            language=each["language"],
            title=each["title"],
            text=each["text"],
            mark=each["mark"],
            detail=(each["detail"] or "").strip(),
            follows=end is not None and not text[end : each.start()].strip(),
        )
        end = each.end()


def fenced(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [each["text"] for each in _FENCE.finditer(text) if each["language"] == language]


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
