"""Text for terminals: cells of tables, what may be coloured, and nothing that could steer a terminal."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass
from typing import Final

__all__ = ["BEYOND_ASCII", "Cell", "Column", "in_colour", "into_file", "on_terminal", "plain"]

BEYOND_ASCII: Final = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
"""What steers terminals or turns the direction of text, and lone surrogates, which cannot be written at all."""
_UNSAFE: Final = re.compile(f"[\\x00-\\x1f{BEYOND_ASCII}]")
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Column:
    """A column of a table. Where the terminal is too narrow, folding ones are wrapped, and flexible ones cut off."""

    title: str
    flexible: bool = False
    folds: bool = False


@dataclass(frozen=True)
class Cell:
    """A text and its style; `brief` is what stands in its column where there is no room for all texts of that."""

    text: str
    style: str = ""
    brief: str = ""


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


def into_file() -> bool:
    """Whether stdout goes into a file: then nothing else of ours is on the terminal, nor of what reads from a pipe."""
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # closed, or none at all
        return False


def in_colour() -> bool:
    """Whether stdout may be coloured: a terminal that can, unless the environment says otherwise.

    ``NO_COLOR`` (https://no-color.org) goes before ``FORCE_COLOR`` (https://force-color.org), that before the terminal.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return on_terminal() and os.environ.get("TERM") != "dumb"
