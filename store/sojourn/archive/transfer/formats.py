"""What the file formats have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from psycopg import sql

from sojourn.archive.transfer.filters import Filters
from sojourn.archive.transfer.tables import Table
from sojourn.errors import SojournError

__all__ = ["JSON_ROWS", "LONGEST_ROW_BYTES", "Damage", "DamagedFile", "Format", "Row", "Source", "Writer"]

LONGEST_ROW_BYTES: Final = 64 * 1024 * 1024
"""A longer line is damage: there is no telling how long it would go on."""

JSON_ROWS: Final = sql.SQL(r"FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01'")
"""COPY's options for rows that are one JSON text each: the two characters cannot be in it, so it comes as it is."""


class DamagedFile(SojournError):
    """A file of rows is damaged, or a row in it. `number` tells which line or row; 0: the file as a whole."""

    def __init__(self, message: str, number: int = 0) -> None:
        self.number = number
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.number)


@dataclass(frozen=True, slots=True)
class Row:
    """A row that was read: a JSON object."""

    number: int
    table: Table
    json: str


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that cannot be read. The problem quotes no value."""

    number: int
    problem: str
    rows: int = 1


@dataclass
class Source:
    """A file to read from."""

    file: BinaryIO
    done: int = 0
    """Bytes that were read so far."""

    def readline(self) -> bytes:
        """The next line, with its end; cut off if it is longer than a row may be; empty at the end of the file."""
        line = self.file.readline(LONGEST_ROW_BYTES)
        self.done += len(line)
        return line


class Writer(Protocol):
    """Writes a file of one table's rows."""

    def write(self, rows: Sequence[bytes]) -> None:
        """Write rows, as COPY gave them."""

    def close(self) -> None:
        """Write what belongs at the end; the file itself stays open."""

    def abandon(self) -> None:
        """Let go of the file, and write nothing more."""


class Format(Protocol):
    """A file format."""

    @property
    def unit(self) -> str:
        """What its rows are numbered by."""

    @property
    def texts(self) -> bool:
        """Whether its rows have JSON columns as text."""

    @property
    def copy_options(self) -> sql.SQL:
        """For COPY."""

    def check(self) -> None:
        """Raise `SojournError` if a package that it needs is missing."""

    def query(self, table: Table, filters: Filters) -> sql.Composed:
        """What COPY is to give its writer."""

    def writer(self, file: BinaryIO, table: Table) -> Writer:
        """Begin a file."""

    def read(self, source: Source) -> Iterator[Row | Damage]:
        """What is in a file.

        Raises:
            DamagedFile: it cannot be read as a whole.
        """
