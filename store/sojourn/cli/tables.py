"""Sessions and log entries as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sojourn.cli import words
from sojourn.cli.output import Cell, Column, print_table
from sojourn.cli.telling import View

if TYPE_CHECKING:
    from sojourn.models import Session

__all__ = ["SESSIONS", "STATUS_STYLES", "print_entries", "print_session", "session_json", "shown"]

STATUS_STYLES: Final = {
    "pending": "yellow", "in_progress": "cyan", "completed": "green", "failed": "red", "terminated": "magenta",
    "expired": "bright_black", "deleted": "bright_black",
}  # fmt: skip
_LIST: Final = (
    Column("ID"), Column("KIND", flexible=True), Column("STATUS"), Column("OWNER", flexible=True),
    Column("TAGS", flexible=True), Column("CREATED"), Column("EXPIRES"),
)  # fmt: skip
_PAIRS: Final = (Column("FIELD"), Column("VALUE", folds=True))


def shown(value: Any) -> str:
    """Any value of a field, for people.

    Example:
        >>> shown(("a", "b")), shown(None), shown({"seat": 12})
        ('a, b', '-', '{"seat": 12}')
    """
    from pydantic_core import to_jsonable_python

    from sojourn.sealing import Unreadable, settled

    if isinstance(settled(value), Unreadable):
        return "(cannot be opened)"
    if value is None or value == () or value == []:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return words.both(value, datetime.now(UTC))
    if isinstance(value, timedelta):
        return words.duration(value)
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list) and all(isinstance(each, str | int) for each in value):
        return ", ".join(map(str, value))
    told = to_jsonable_python(value, fallback=str)
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)


def session_json(session: Session) -> dict[str, Any]:
    """A session as JSON values."""
    told: dict[str, Any] = session.model_dump(mode="json")
    return told


def _row(session: Session) -> list[Cell]:
    now = datetime.now(UTC)
    expires = Cell("-")
    if session.is_live:
        expires = Cell("never") if session.expires_at is None else _at(session.expires_at, now)
    return [
        Cell(session.id),
        Cell(session.kind),
        Cell(session.status, STATUS_STYLES[session.status]),
        Cell(session.owner or "-"),
        Cell(", ".join(session.tags) or "-"),
        _at(session.created_at, now),
        expires,
    ]


def _at(moment: datetime, now: datetime) -> Cell:
    return Cell(words.both(moment, now), brief=words.ago(moment, now))


SESSIONS: Final = View(session_json, _LIST, _row)
"""Lists of sessions."""


def print_session(session: Session) -> None:
    """All fields of a session, those of its model and those of which only the text is known."""
    fields = {name: getattr(session, name) for name in type(session).model_fields} | (session.model_extra or {})
    rows = []
    for name, value in fields.items():
        text = shown(value)
        if value is None and name in ("expires_at", "ttl", "max_lifetime"):
            text = "never" if name == "expires_at" else "none"
        rows.append([Cell(name, "bold"), Cell(text, STATUS_STYLES[session.status] if name == "status" else "")])
    print_table(_PAIRS, rows, headed=False)


def print_entries(entries: Sequence[Any], start: int | None) -> None:
    """Entries of a log, numbered from `start` on: a column for each field of records, else one for their text."""
    names: dict[str, None] = {}
    for each in entries:
        names |= dict.fromkeys(_fields(each))
    columns = [Column(name.upper() or "ENTRY", folds=True) for name in names]
    rows = [[Cell(shown(_fields(each).get(name))) for name in names] for each in entries]
    if start is not None:
        columns = [Column("#"), *columns]
        rows = [[Cell(str(number)), *row] for number, row in enumerate(rows, start)]
    print_table(columns, rows)


def _fields(entry: Any) -> dict[str, Any]:
    if hasattr(type(entry), "model_fields"):
        return {name: getattr(entry, name) for name in type(entry).model_fields}
    return entry if isinstance(entry, dict) else {"": entry}
