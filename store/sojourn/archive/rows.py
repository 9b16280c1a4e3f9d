"""From what was read in Redis to the rows of the archive's tables, as JSON for the SQL statements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import lru_cache
from typing import Any, Final

from sojourn.archive.exact import as_jsonb, embeddable_fields, from_jsonb, quote, survives
from sojourn.codec import Codec, datetime_from
from sojourn.events import Event

__all__ = [
    "ARCHIVED",
    "FIRST",
    "KEEP",
    "Damage",
    "archived_event",
    "entry_row",
    "event_row",
    "index_entry",
    "rows_json",
    "session_key",
    "session_row",
]

ARCHIVED: Final = "_archived:"
"""Hash fields that begin so tell up to which position a log is archived."""
FIRST: Final = "_first:"
"""Hash fields that begin so tell at which position a log begins in Redis."""
KEEP: Final = "_keep:"
"""Hash fields that begin so tell how many entries of a bounded log stay in Redis once they are archived."""
_OF_THIS_REDIS: Final = (ARCHIVED, FIRST)
"""What belongs to this Redis, not to the record."""
_NULL: Final = "null"
_EVENT_TEXTS: Final = (
    ("tenant", "tenant"), ("session_id", "id"), ("type", "type"), ("kind", "kind"), ("actor", "actor"),
    ("trace_id", "trace"),
)  # fmt: skip
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


def session_row(stored: Mapping[str, str], tenant: str, session_id: str, codec: Codec[Any]) -> str:
    """A session's row from its hash.

    Raises:
        Damage: a field that every record has is missing or malformed, or text is no valid Unicode or holds a NUL.
    """
    if stored.get("id") != session_id or stored.get("tenant") != tenant:
        raise Damage("id" if stored.get("id") != session_id else "tenant")
    _check_texts(stored)
    plain = dict(stored)
    lists: dict[str, list[str]] = {}
    data = []
    for name in embeddable_fields(codec) & stored.keys():
        text = stored[name]
        inside = survives(text)
        if inside is not None:
            del plain[name]
            data.append(f"{quote(name)}:{text}")
            if inside is not True:
                lists[name] = [each for each in inside if isinstance(each, str)]
    if "_logs" in stored:
        plain = {name: text for name, text in plain.items() if not name.startswith(_OF_THIS_REDIS)}
    data.append(_encode(plain)[1:-1])  # never empty: it has the id
    tags = lists.get("tags")
    if tags is None:
        lists["tags"] = tags = _strings(stored.get("tags", "[]"))
    return (
        f'{{"tenant":{quote(tenant)},"id":"{session_id}"'
        f',"kind":{quote(_required(stored, "kind"))},"status":{quote(_required(stored, "status"))}'
        f',"version":{_integer("version", _required(stored, "version"))}'
        f',"owner":{_text(stored, "owner")},"client_type":{_text(stored, "client_type")}'
        f',"end_reason":{_text(stored, "end_reason")},"tags":{_listed(tags)}'
        f',"indexed":{_listed(_indexed(stored, tenant, lists))}'
        f',"created_at":{_moment("created_at_ms", _required(stored, "created_at_ms"))}'
        f',"updated_at":{_moment("updated_at_ms", _required(stored, "updated_at_ms"))}'
        f',"accessed_at":{_moment("accessed_at_ms", _required(stored, "accessed_at_ms"))}'
        f',"expires_at":{_moment("expires_at_ms", stored.get("expires_at_ms"))}'
        f',"ended_at":{_moment("ended_at_ms", stored.get("ended_at_ms"))}'
        f',"ttl":{_duration("ttl_ms", stored.get("ttl_ms"))}'
        f',"max_lifetime":{_duration("max_lifetime_ms", stored.get("max_lifetime_ms"))}'
        f',"data":{{{",".join(data)}}}}}'
    )


def entry_row(tenant: str, session_id: str, log: str, position: int, text: str, *, embed: bool) -> str:
    """A log entry's row.

    Raises:
        Damage: it is no valid Unicode, or holds a NUL.
    """
    check_text(log, log)
    check_text(log, text)
    return (
        f'{{"tenant":{quote(tenant)},"session_id":"{session_id}","log":{quote(log)},"position":{position}'
        f',"entry":{as_jsonb(text, embed=embed)}}}'
    )


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
    told = {name: fields.get(field, "") for name, field in _EVENT_TEXTS}
    told["id"] = f"{partition:02d}-{stream_id}"
    _check_texts({**told, "changes": changes, "before": before or ""})
    return told["id"], (
        f'{_encode(told)[:-1]},"version":{version},"at":{_told_moment("at_ms", at_ms)}'
        f',"changes":{changes or "{}"},"before":{_NULL if before is None else before or "{}"}}}'
    )


def _is_plain(number: str) -> bool:
    """Whether a text is a number as JSON has it, and as an event of ours can have it."""
    return number.isascii() and number.isdecimal() and len(number) < 15 and number[0] != "0"


def _is_object(text: str) -> bool:
    return not text or (text[0] == "{" and survives(text) is not None)


def _odd_event_row(partition: int, stream_id: str, fields: Mapping[str, str]) -> tuple[str, str]:
    event = Event.from_stream(partition, stream_id, fields)
    told = {
        "tenant": event.tenant, "session_id": event.session_id, "id": event.id, "type": event.type,
        "kind": event.kind, "actor": event.actor, "trace_id": event.trace_id,
    }  # fmt: skip
    changes, before = _mapping_text(event.changes), _mapping_text(event.before)
    _check_texts({**told, "changes": changes, "before": before})
    return event.id, (
        f'{_encode(told)[:-1]},"version":{event.version},"at":"{event.at.isoformat()}"'
        f',"changes":{as_jsonb(changes, embed=True)},"before":{as_jsonb(before, embed=True) if before else _NULL}}}'
    )


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


def _check_texts(texts: Mapping[str, str]) -> None:
    """The same for all at once: nearly always all are sound."""
    try:
        check_text("", "".join(texts) + "".join(texts.values()))
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


def _required(stored: Mapping[str, str], name: str) -> str:
    text = stored.get(name)
    if not text:
        raise Damage(name)
    return text


def _integer(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):  # fits a bigint
        raise Damage(name)
    return int(text)


def _text(stored: Mapping[str, str], name: str) -> str:
    text = stored.get(name)
    return _NULL if text is None else quote(text)


def _moment(name: str, text: str | None) -> str:
    return _NULL if text is None else _told_moment(name, text)


@lru_cache(maxsize=1024)  # a record's times are often the same, and those of neighbours too
def _told_moment(name: str, text: str) -> str:
    try:
        return f'"{datetime_from(_integer(name, text)).isoformat()}"'
    except OverflowError:
        raise Damage(name) from None


def _duration(name: str, text: str | None) -> str:
    return _NULL if text is None else f'"{_integer(name, text)} milliseconds"'


def index_entry(tenant: str, field: str, value: str) -> str:
    """How the column `indexed` names a value of an indexed field; `field` as in the hash."""
    return f"{tenant}/{field}:{value}"


def _indexed(stored: Mapping[str, str], tenant: str, lists: Mapping[str, list[str]]) -> list[str]:
    """`lists` has the lists that were read already."""
    found = []
    for spec in stored.get("_indexes", "").split(","):
        if spec.endswith("[]"):
            name = spec[:-2]
            values = lists[name] if name in lists else _strings(stored.get(name, ""))
            found += [index_entry(tenant, name, each) for each in values]
        elif spec and stored.get(spec):
            found.append(index_entry(tenant, spec, stored[spec]))
    return found


def _strings(text: str) -> list[str]:
    """The strings of a JSON array. The columns serve SQL; what cannot be read is still in `data` as it was."""
    try:
        found = json.loads(text)
        strings = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
        for each in strings:
            check_text("", each)
    except (ValueError, RecursionError, Damage):
        return []
    return strings


def _listed(strings: Sequence[str]) -> str:
    return f"[{','.join(map(quote, strings))}]"
