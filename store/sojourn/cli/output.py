"""Printing: for people in tables, for programs as JSON, and never what could steer a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import click

from sojourn.tokens.form import masked_tokens

__all__ = ["Cell", "Column", "complain", "hint", "on_terminal", "plain", "print_json", "print_line", "print_table"]

_BEYOND_ASCII: Final = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
"""What steers terminals or turns the direction of text, and lone surrogates, which cannot be written at all."""
_UNSAFE: Final = re.compile(f"[\\x00-\\x1f{_BEYOND_ASCII}]")
_UNSAFE_IN_JSON: Final = re.compile(f"[{_BEYOND_ASCII}]")
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNBOUNDED: Final = 1_000_000
"""Columns of what is not a terminal: nothing is wrapped or cut off there."""
_GAP: Final = 2
_LEAST: Final = 8
_LEAST_FOLDED: Final = 16


@dataclass(frozen=True)
class Column:
    """A column of a table. Where the terminal is too narrow, folding ones are wrapped, and flexible ones cut off."""

    title: str
    flexible: bool = False
    folds: bool = False


@dataclass(frozen=True)
class Cell:
    """A text and its style."""

    text: str
    style: str = ""


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def plain(text: str) -> str:
    """The text on one line, with whatever could steer a terminal told as an escape.

    Example:
        >>> plain(f"red: {chr(27)}[31m") == "red: " + chr(92) + "x1b[31m"
        True
    """
    return _UNSAFE.sub(_escaped, text)


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def in_colour() -> bool:
    """Whether stdout may be coloured: a terminal that can, and nobody asked not to (https://no-color.org)."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def complain(problem: str) -> None:
    """One line on stderr. What click quotes of a command line may be a token."""
    click.echo(f"sojourn: {plain(masked_tokens(problem))}", err=True)


hint = partial(click.echo, err=True)
"""A line for people, on stderr so that pipes do not get it."""


def print_json(value: Any, *, lines: bool = False) -> None:
    """A value as JSON: indented on a terminal, else (and for JSON lines) on one line."""
    indent = 2 if on_terminal() and not lines else None
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    click.echo(_UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def print_line(cells: Iterable[Cell]) -> None:
    """One line of cells."""
    coloured = in_colour()
    shown = (
        click.style(plain(each.text), fg=each.style) if coloured and each.style else plain(each.text) for each in cells
    )
    click.echo("  ".join(shown), color=coloured)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, headed: bool = True) -> None:
    """A table: fitted to the terminal's width, or as wide as it needs where stdout is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(plain(cell.text), style=cell.style) for cell in row] for row in rows]
    widths = [
        max((row[number].cell_len for row in cells), default=0) if not headed
        else max([len(column.title), *(row[number].cell_len for row in cells)])
        for number, column in enumerate(columns)
    ]  # fmt: skip
    width = shutil.get_terminal_size().columns if on_terminal() else _UNBOUNDED
    fitted = _fitted(columns, widths, width)
    coloured = in_colour()
    drawn = io.StringIO()
    console = Console(
        file=drawn, width=max(width, sum(fitted) + _GAP * len(fitted)), force_terminal=coloured,
        no_color=not coloured, highlight=False, markup=False, emoji=False,
    )  # fmt: skip
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=headed, header_style="bold")
    shown = [number for number, room in enumerate(fitted) if room]
    for number in shown:
        column = columns[number]
        table.add_column(
            Text(column.title), width=fitted[number], no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )  # fmt: skip
    for row in cells:
        table.add_row(*(row[number] for number in shown))
    console.print(table)
    click.echo("\n".join(line.rstrip() for line in drawn.getvalue().splitlines()), color=coloured)


def _fitted(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """The columns' widths on a terminal: flexible ones give way, and at last go.

    The others, ids among them, are never cut off, even if the terminal then breaks the lines.
    """
    fitted = list(widths)

    def excess() -> int:
        return sum(room + _GAP for room in fitted if room) - _GAP - width

    folding = [number for number, column in enumerate(columns) if column.folds]
    flexible = [number for number, column in enumerate(columns) if column.flexible]
    for candidates, least in ((folding, _LEAST_FOLDED), (flexible, _LEAST)):
        while excess() > 0 and any(fitted[number] > least for number in candidates):
            widest = max(candidates, key=fitted.__getitem__)
            others = max((fitted[number] for number in candidates if number != widest), default=0)
            fitted[widest] -= max(1, min(excess(), fitted[widest] - max(least, others)))
    for number in reversed(flexible):
        if excess() > 0:
            fitted[number] = 0
    return fitted
