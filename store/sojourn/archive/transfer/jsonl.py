"""JSON lines: each line an object with its table's name as ``_table`` and its columns, JSON among them as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from psycopg import sql

from sojourn.archive.transfer.filters import Filters
from sojourn.archive.transfer.formats import JSON_ROWS, Damage, Row, Source
from sojourn.archive.transfer.lines import TOO_LONG, Line, LineWriter, read_lines
from sojourn.archive.transfer.tables import TABLES, Table, table_with

__all__ = ["JsonLines"]

_NAME: Final = "_table"
# Only the names are looked at here; numbers stay text, since PostgreSQL reads the line itself, and exactly.
_decode: Final = json.JSONDecoder(parse_int=str, parse_float=str).decode
_START: Final = re.compile(r'\{"_table":"(\w+)",')


class JsonLines:
    """One JSON object a line; files of several tables may be put together."""

    unit = "line"
    texts = False
    copy_options = JSON_ROWS

    def check(self) -> None:
        """It needs no package."""

    def query(self, table: Table, filters: Filters) -> sql.Composed:
        """Each row as a line."""
        cells = sql.SQL("{} AS {}, ").format(table.name, sql.Identifier(_NAME)) + table.cells()
        return sql.SQL("SELECT row_to_json(line) FROM ({}) AS line").format(table.select(cells, filters))

    def writer(self, file: BinaryIO, table: Table) -> LineWriter:
        """Begin a file."""
        return LineWriter(file)

    def read(self, source: Source) -> Iterator[Row | Damage]:
        """What is in a file."""
        for line in read_lines(source):
            if line.text.strip():
                yield _row(line)


def _row(line: Line) -> Row | Damage:
    if line.too_long:
        return Damage(line.number, TOO_LONG)
    try:
        text = line.text.decode()
        found = _decode(text)
    except UnicodeDecodeError:
        return Damage(line.number, "is not UTF-8")
    except RecursionError:  # nests deeper than Python can read; PostgreSQL may
        start = _START.match(text)
        table = TABLES.get(start[1]) if start else None
    except ValueError:
        cut_off = not line.text.endswith(b"\n")
        return Damage(line.number, "is cut off: the file ends in it" if cut_off else "is no JSON")
    else:
        name = found.pop(_NAME, None) if isinstance(found, dict) else None
        table = table_with(found) if isinstance(found, dict) else None
        if table is not None and name not in (None, table.name):
            table = None
    if table is None:
        return Damage(line.number, "has not the columns of a table of the archive")
    return Row(line.number, table, text)
