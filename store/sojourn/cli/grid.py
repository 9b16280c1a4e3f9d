"""Tables: fitted to the terminal's width, or as wide as they need where stdout is none."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import click

from sojourn.cli.terminal import Cell, Column, in_colour, on_terminal, plain

__all__ = ["Table", "print_table"]

_UNBOUNDED: Final = 1_000_000
"""Columns of what is not a terminal: nothing is wrapped or cut off there."""
_GAP: Final = 2
_LEAST: Final = 8
_LEAST_FOLDED: Final = 16
_AT_ONCE: Final = 1_000
"""Rows that one fit is made for: memory is bounded, however long the table is."""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, headed: bool = True) -> None:
    """A whole table, a thousand rows at a time."""
    table, each = Table(columns, headed=headed), iter(rows)
    while some := list(islice(each, _AT_ONCE)):
        table.add(some)
    table.end()


class Table:
    """A table that is printed part by part. A later part keeps to the widths of the ones before where it can."""

    def __init__(self, columns: Sequence[Column], *, headed: bool = True) -> None:
        self._columns = columns
        self._headed = headed
        self._begun = False
        self._widths = [len(each.title) if headed else 0 for each in columns]

    def end(self) -> None:
        """Print the header if nothing else was."""
        if self._headed and not self._begun:
            self.add([])

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Print some more rows."""
        from rich.cells import cell_len
        from rich.console import Console
        from rich.table import Table as Drawn
        from rich.text import Text

        width = shutil.get_terminal_size().columns if on_terminal() else _UNBOUNDED
        texts = [[(plain(cell.text), cell.style) for cell in row] for row in rows]
        widths = self._needed([[cell_len(text) for text, _ in row] for row in texts])
        for number in self._with_brief(rows):
            if sum(widths) + _GAP * (len(widths) - 1) <= width:
                break
            for row, own in zip(texts, rows, strict=True):
                row[number] = (plain(own[number].brief or own[number].text), own[number].style)
            widths = self._needed([[cell_len(text) for text, _ in row] for row in texts])
        self._widths = widths
        fitted = _fitted(self._columns, widths, width)
        coloured = in_colour()
        drawn = io.StringIO()
        console = Console(
            file=drawn, width=max(width, sum(fitted) + _GAP * len(fitted)), force_terminal=coloured,
            no_color=not coloured, highlight=False, markup=False, emoji=False,
        )  # fmt: skip
        table = Drawn(
            box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=self._headed and not self._begun,
            header_style="bold",
        )  # fmt: skip
        shown = [number for number, room in enumerate(fitted) if room]
        for number in shown:
            column = self._columns[number]
            table.add_column(
                Text(column.title), width=fitted[number], no_wrap=not column.folds,
                overflow="fold" if column.folds else "ellipsis",
            )  # fmt: skip
        for row in texts:
            table.add_row(*(Text(row[number][0], style=row[number][1]) for number in shown))
        console.print(table)
        lines = drawn.getvalue().splitlines()
        if lines:
            click.echo("\n".join(line.rstrip() for line in lines), color=coloured)
        self._begun = True

    def _needed(self, lengths: Sequence[Sequence[int]]) -> list[int]:
        before = self._widths
        return [max([least, *(row[number] for row in lengths)]) for number, least in enumerate(before)]

    @staticmethod
    def _with_brief(rows: Sequence[Sequence[Cell]]) -> list[int]:
        """The columns that can be told in brief, the last one first: it gives way first."""
        return sorted({number for row in rows for number, cell in enumerate(row) if cell.brief}, reverse=True)


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
