"""CSV, as RFC 4180 has it: a header, CRLF, quotes where they are needed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click

from sojourn.cli.output import json_text
from sojourn.cli.terminal import on_terminal, plain

__all__ = ["Csv"]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet take a text for a formula, which may send what is in other cells elsewhere; the wide forms
count as the narrow ones there (https://owasp.org/www-community/attacks/CSV_Injection)."""


class Csv:
    """Rows of one table, printed as they come; the header stands before the first."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._begun = False

    def begin(self) -> None:
        """Print the header, if it was not."""
        if not self._begun:
            self._begun = True
            self._write(self._columns)

    def add(self, row: Mapping[str, Any]) -> None:
        """Print a row."""
        self.begin()
        self._write([told(row.get(name)) for name in self._columns])

    def add_all(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print rows; without any, the header alone."""
        for each in rows:
            self.add(each)
        self.begin()

    @staticmethod
    def _write(cells: Sequence[str]) -> None:
        drawn = io.StringIO()
        csv.writer(drawn, lineterminator="\n" if on_terminal() else "\r\n").writerow(cells)
        text = drawn.getvalue()
        click.echo("\n".join(map(plain, text.splitlines())) if on_terminal() else text, nl=on_terminal())


def told(value: Any) -> str:
    """A JSON value as the text of a cell: nothing for null, JSON for lists and objects, no text that is a formula.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.

    Example:
        >>> told(None), told(-1), told("-1"), told(["a"]), told(True)
        ('', '-1', "'-1", '["a"]', 'true')
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return json_text(value)
    return f"'{value}" if value.startswith(_FORMULA) else value
