"""The command line, ``sojourn``: its commands parse, call the library, and print."""

from __future__ import annotations

import io
import sys

from sojourn.cli.root import cli

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command line of this process, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets an escape, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="sojourn")
