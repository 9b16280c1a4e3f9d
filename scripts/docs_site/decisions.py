"""The list of decisions: every file in docs/adr by its title."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["decisions_text"]

_FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "adr"


def decisions_text() -> str:
    """One line for each, with a link."""
    lines = []
    for path in sorted(_FOLDER.glob("[0-9]*.md")):
        number, _, title = path.read_text("utf-8").partition("\n")[0].removeprefix("# ").partition(". ")
        lines.append(f"| {number} | [{title}](adr/{path.name}) |")
    return "\n".join(["| | decision |", "| ---: | --- |", *lines])
