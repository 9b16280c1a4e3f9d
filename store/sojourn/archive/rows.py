"""From what was read in Redis to the rows of the archive's tables: lines for COPY; and keys of rows, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any, Final

from sojourn.archive.exact import as_jsonb, from_jsonb, quote, survives
from sojourn.archive.lines import escaped_texts, template
from sojourn.codec import datetime_from
from sojourn.events import Event

__all__ = [
    "ARCHIVED",
    "FIRST",
    "KEEP",
    "Damage",
    "archived_event",
    "check_text",
    "check_texts",
    "entry_row",
    "event_row",
    "index_entry",
    "integer",
    "moment",
    "quoted_inside",
    "rows_json",
    "session_key",
    "strings",
]

ARCHIVED: Final = "_archived:"
"""Hash fields that begin so tell up to which position a log is archived."""
FIRST: Final = "_first:"
"""Hash fields that begin so tell at which position a log begins in Redis."""
KEEP: Final = "_keep:"
"""Hash fields that begin so tell how many entries of a bounded log stay in Redis once they are archived."""
_ENTRY: Final = template("store_entries", ("tenant", "session_id", "log", "position", "entry"))
_EVENT_COLUMNS: Final = (
    "tenant", "session_id", "kind", "version", "id", "type", "at", "actor", "trace_id", "changes", "before",
)  # fmt: skip
_EVENT: Final = template("store_events", _EVENT_COLUMNS)
_EVENT_ALONE: Final = template("store_events", _EVENT_COLUMNS[:-1])
"""Where it is not told what was before."""
_SHORT: Final = 128
"""Objects of so few characters, such as the change of a status, are the same in many events, and remembered."""
_MS_DIGITS: Final = 13
"""Of a time in milliseconds, from 2001 to 2286."""
_SEPARATOR: Final = "\x7f"
"""JSON leaves it as it is."""
_EVENT_TEXTS: Final = ("tenant", "id", "type", "kind", "actor", "trace")
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Damage(Exception):
    """Something that the archive cannot hold. Names the field, never a value."""

    def __init__(self, field: str) -> None:
        self.field = field if field.isprintable() and len(field) <= 80 else repr(field)[:80]
        super().__init__(self.field)


def rows_json(rows: Sequence[str]) -> str:
    """Rows as one JSON array."""
    return f"[{','.join(rows)}]"


def session_key(tenant: str, session_id: str) -> str:
    """The row that names a session."""
    return f'{{"tenant":{quote(tenant)},"id":"{session_id}"}}'


def entry_row(tenant: str, session_id: str, log: str, position: int, text: str, *, embed: bool) -> str:
    """A log entry's row.

    Raises:
        Damage: it is no valid Unicode, or holds a NUL.
    """
    check_text(log, log)
    check_text(log, text)
    values = (tenant, session_id, log, str(position), as_jsonb(text, embed=embed))
    return _ENTRY % tuple(escaped_texts(values))


def event_row(partition: int, stream_id: str, fields: Mapping[str, str]) -> tuple[str, str]:
    """An event's id and row, from the fields of its entry in the stream; they are read as `Event` reads them.

    Raises:
        Damage: a text in it is no valid Unicode, or holds a NUL.
        ValueError, OverflowError: it cannot be read.
    """
    changes, before, version = fields.get("changes", ""), fields.get("before"), fields.get("version", "")
    at_ms = fields.get("at_ms", "")
    if not (_is_plain(version) and _is_plain(at_ms) and _is_object(changes) and _is_object(before or "")):
        return _odd_event_row(partition, stream_id, fields)
    texts = [fields.get(name, "") for name in _EVENT_TEXTS]
    check_texts(fields, [*texts, changes, before or ""])
    tenant, session_id, type_, kind, actor, trace = texts
    event_id = f"{partition:02d}-{stream_id}"
    values = (
        tenant, session_id, kind, version, event_id, type_, moment("at_ms", at_ms), actor, trace, changes or "{}",
        before or "{}",
    )  # fmt: skip
    return event_id, _event_line(values, told_before=before is not None)


def _event_line(values: Sequence[str], *, told_before: bool) -> str:
    """`values` in the order of the columns, the last of them what was before."""
    found = tuple(escaped_texts(values))
    return _EVENT % found if told_before else _EVENT_ALONE % found[:-1]


def _is_plain(number: str) -> bool:
    """Whether a text is a number as JSON has it, and as an event of ours can have it."""
    return number.isascii() and number.isdecimal() and len(number) < 15 and number[0] != "0"


def _is_object(text: str) -> bool:
    return not text or (text[0] == "{" and (_short_survives(text) if len(text) <= _SHORT else _survives(text)))


def _survives(text: str) -> bool:
    return survives(text) is not None


_short_survives = lru_cache(maxsize=1024)(_survives)


def _odd_event_row(partition: int, stream_id: str, fields: Mapping[str, str]) -> tuple[str, str]:
    event = Event.from_stream(partition, stream_id, fields)
    changes, before = _mapping_text(event.changes), _mapping_text(event.before)
    texts = {
        "tenant": event.tenant, "id": event.session_id, "type": event.type, "kind": event.kind, "actor": event.actor,
        "trace": event.trace_id, "changes": changes, "before": before,
    }  # fmt: skip
    check_texts(texts, list(texts.values()))
    values = (
        event.tenant, event.session_id, event.kind, str(event.version), event.id, event.type, event.at.isoformat(),
        event.actor, event.trace_id, as_jsonb(changes, embed=True), as_jsonb(before, embed=True),
    )  # fmt: skip
    return event.id, _event_line(values, told_before=bool(before))


def archived_event(row: Sequence[Any]) -> Event:
    """The event in a row of ``sql/get_events.sql``."""
    event_id, type_, tenant, session_id, kind, version, at, actor, trace_id, changes, before = row
    return Event(
        id=event_id, type=type_, tenant=tenant, session_id=str(session_id), kind=kind, version=version,
        at=at.astimezone(UTC), actor=actor, trace_id=trace_id, changes=json.loads(from_jsonb(changes)),
        before=None if before is None else json.loads(from_jsonb(before)),
    )  # fmt: skip


def _mapping_text(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return _encode(dict(found)) if found else "{}"


def quoted_inside(texts: Sequence[str]) -> list[str]:
    """Each text as JSON, without the quotation marks around it."""
    together = "".join(texts)
    if together.isprintable() and '"' not in together and "\\" not in together:  # nearly always
        return list(texts)
    found = quote(_SEPARATOR.join(texts))[1:-1].split(_SEPARATOR)
    if len(found) == len(texts):
        return found
    return [quote(each)[1:-1] for each in texts]  # one of them has the separator in it


def check_texts(texts: Mapping[str, str], used: Sequence[str]) -> None:
    """Refuse what PostgreSQL cannot hold; `used` are the texts that matter, and nearly always all are sound.

    Raises:
        Damage: it names the first text of which the name or the value is not sound.
    """
    try:
        check_text("", "".join(used))
    except Damage:
        for name, text in texts.items():
            check_text(name, name)
            check_text(name, text)


def check_text(name: str, text: str) -> None:
    """Refuse what PostgreSQL cannot hold: NULs, and the lone surrogates that stand for undecodable bytes.

    Raises:
        Damage: `text` has one of them; it names `name`.
    """
    if "\x00" in text:
        raise Damage(name)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Damage(name) from None


def integer(name: str, text: str) -> int:
    """The number that a text is.

    Raises:
        Damage: it is none, or none that PostgreSQL's largest integers hold.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Damage(name)
    return int(text)


def moment(name: str, text: str) -> str:
    """A time in milliseconds, as PostgreSQL reads it.

    Raises:
        Damage: it is none.
    """
    found = _plain_moment(text)
    if found is not None:
        return found
    try:
        return datetime_from(integer(name, text)).isoformat()
    except OverflowError:
        raise Damage(name) from None


@lru_cache(maxsize=1024)  # a record's times are often the same, and those of neighbours too
def _plain_moment(text: str) -> str | None:
    """A time of as many digits as nearly all have; None for others, and for what is none."""
    if len(text) == _MS_DIGITS and text.isascii() and text.isdecimal():
        return f"{_second(text[:-3])}.{text[-3:]}+00:00"
    return None


@lru_cache(maxsize=1024)
def _second(text: str) -> str:
    return datetime_from(int(text) * 1000).isoformat()[:-6]


def index_entry(tenant: str, field: str, value: str) -> str:
    """How the column `indexed` names a value of an indexed field; `field` as in the hash."""
    return f"{tenant}/{field}:{value}"


def strings(text: str) -> list[str]:
    """The strings of a JSON array. The columns serve SQL; what cannot be read is still in `data` as it was."""
    try:
        found = json.loads(text)
        inside = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
        for each in inside:
            check_text("", each)
    except (ValueError, RecursionError, Damage):
        return []
    return inside
