"""CSV as PostgreSQL writes it: NULL is an empty cell, empty text is ``""``, and JSON and arrays are JSON text."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from psycopg import sql

from sojourn.archive.transfer.filters import Filters
from sojourn.archive.transfer.formats import LONGEST_ROW_BYTES, Damage, DamagedFile, Row, Source
from sojourn.archive.transfer.lines import TOO_LONG, Line, LineWriter, read_lines
from sojourn.archive.transfer.tables import Kind, Table, table_with

__all__ = ["Csv"]

_CELL: Final = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n?\Z)')
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


class Csv:
    """Comma-separated values, with a header."""

    unit = "line"
    texts = True
    copy_options = sql.SQL("FORMAT csv")

    def check(self) -> None:
        """It needs no package."""

    def query(self, table: Table, filters: Filters) -> sql.Composed:
        """The columns."""
        return table.select(table.cells(texts="to_json({})"), filters)

    def writer(self, file: BinaryIO, table: Table) -> LineWriter:
        """Begin a file with its header."""
        return LineWriter(file, ",".join(table.names).encode() + b"\n")

    def read(self, source: Source) -> Iterator[Row | Damage]:
        """What is in a file.

        Raises:
            DamagedFile: the header is not that of a table.
        """
        lines = read_lines(source)
        header = next(lines, None)
        if header is None:
            raise DamagedFile("it is empty: not even a header is there")
        names = [name or "" for name in _cells(header.text.decode(errors="replace")) or ()]
        table = table_with(names)
        if table is None or len(names) != len(table.names):
            raise DamagedFile("its first line does not name the columns of a table of the archive", 1)
        lists = [each.name for each in table.columns if each.kind is Kind.TEXTS]
        for number, cells in _records(lines, len(names)):
            if isinstance(cells, str):
                yield Damage(number, cells)
                continue
            row: dict[str, Any] = dict(zip(names, cells, strict=True))
            try:
                for name in lists:
                    row[name] = None if row[name] is None else json.loads(row[name])
            except (ValueError, RecursionError):
                yield Damage(number, f"has no JSON array in its column '{name}'")
                continue
            yield Row(number, table, _encode(row))


def _records(lines: Iterator[Line], width: int) -> Iterator[tuple[int, list[str | None] | str]]:
    """Rows of cells, each with the number of its first line; or what is wrong with that line.

    Text may contain ends of lines, so a row goes on until its quotes are even. If that gives no row, only its first
    line is given up, and the next begins a new row: a stray quote costs one row, not all up to the next one.
    """
    pending: deque[Line] = deque()
    while (first := pending.popleft() if pending else next(lines, None)) is not None:
        if first.too_long:
            yield first.number, TOO_LONG
            continue
        parts, size, quotes, ends = [first], len(first.text), first.text.count(b'"'), False
        while quotes % 2 and not ends:
            more = pending.popleft() if pending else next(lines, None)
            if more is None:
                break
            parts.append(more)
            size += len(more.text)
            quotes += more.text.count(b'"')
            ends = more.too_long or size > LONGEST_ROW_BYTES
        found: list[str | None] | str
        if not parts[-1].text.endswith(b"\n"):
            found = "is cut off: the file ends in it"
        elif quotes % 2 or ends:
            found = "has a quote too few or too many"
        else:
            found = _checked(b"".join([each.text for each in parts]), width)
        if isinstance(found, str):
            pending.extendleft(reversed(parts[1:]))
        yield first.number, found


def _checked(record: bytes, width: int) -> list[str | None] | str:
    try:
        cells = _cells(record.decode())
    except UnicodeDecodeError:
        return "is not UTF-8"
    if cells is None:
        return "is no CSV"
    if len(cells) != width:
        return f"has {len(cells)} cells instead of {width}"
    return cells


def _cells(text: str) -> list[str | None] | None:
    """The cells of a row; None where it is malformed.

    Example:
        >>> _cells('a,,"","b""c"')
        ['a', None, '', 'b"c']
    """
    cells: list[str | None] = []
    position = 0
    while (match := _CELL.match(text, position)) is not None:
        quoted, bare, end = match.groups()
        cells.append((bare or None) if quoted is None else quoted.replace('""', '"'))
        if end != ",":
            return cells
        position = match.end()
    return None
