"""Files of lines: reading them one by one, none longer than what fits into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from sojourn.archive.transfer.formats import LONGEST_ROW_BYTES, Source

__all__ = ["TOO_LONG", "Line", "LineWriter", "read_lines"]

TOO_LONG = f"is longer than {LONGEST_ROW_BYTES // (1024 * 1024)} MiB"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, which only the last may lack."""

    number: int
    text: bytes
    too_long: bool = False


def read_lines(source: Source) -> Iterator[Line]:
    """The lines of a file; of one that is too long, the beginning only."""
    number = 0
    while text := source.readline():
        number += 1
        too_long = len(text) >= LONGEST_ROW_BYTES
        rest = text
        while too_long and rest and not rest.endswith(b"\n"):
            rest = source.readline()
        if number == 1:
            text = text.removeprefix(_BOM)
        yield Line(number, text[:1] if too_long else text, too_long)


class LineWriter:
    """Writes rows that already are the file's lines."""

    def __init__(self, file: BinaryIO, header: bytes = b"") -> None:
        self._file = file
        self._file.write(header)

    def write(self, rows: Sequence[bytes]) -> None:
        """Write rows."""
        self._file.write(b"".join(rows))

    def close(self) -> None:
        """Nothing is left to write."""

    def abandon(self) -> None:
        """Nothing is held."""
