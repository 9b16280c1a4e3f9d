"""What a command prints where programs read it: one document, a list of things, or a line for each as it comes.

Each command declares it (``@click.command(cls=Command, output=Listing("sessions", "Session"))``); the schemas are in
`sojourn.cli.schemas`, under the names that are given here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Document", "Lines", "Listing", "Shape", "Text"]


@dataclass(frozen=True)
class Document:
    """One JSON object; as CSV, a header and one row."""

    schema: str
    when: str = ""
    """Where a command prints one of several shapes: with which options this one."""


@dataclass(frozen=True)
class Listing:
    """One JSON object that holds a list under a name, and in ``cursor`` where it goes on; as CSV, a row for each."""

    name: str
    schema: str
    when: str = ""


@dataclass(frozen=True)
class Lines:
    """A JSON object on a line for each, as it comes; as CSV, a row for each."""

    schema: str
    when: str = ""


@dataclass(frozen=True)
class Text:
    """The same text whatever the format, for what has one of its own."""

    what: str
    when: str = ""


Shape = Document | Listing | Lines | Text
