"""From what was read in Redis to the rows of the archive's tables, as JSON for the SQL statements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sojourn.archive.exact import as_jsonb, embeddable_fields, quote
from sojourn.codec import Codec, datetime_from
from sojourn.events import Event

__all__ = ["ARCHIVED", "Damage", "entry_row", "event_row", "index_entry", "rows_json", "session_key", "session_row"]

ARCHIVED: Final = "_archived:"
"""Hash fields that begin so count the archived entries of a log. They belong to this Redis, not to the record."""
_NULL: Final = "null"


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
    for name, text in stored.items():
        check_text(name, name)
        check_text(name, text)
    embeddable = embeddable_fields(codec)
    data = ",".join(
        [
            f"{quote(name)}:{as_jsonb(text, embed=name in embeddable)}"
            for name, text in stored.items()
            if not name.startswith(ARCHIVED)
        ]
    )
    return (
        f'{{"tenant":{quote(tenant)},"id":"{session_id}"'
        f',"kind":{quote(_required(stored, "kind"))},"status":{quote(_required(stored, "status"))}'
        f',"version":{_integer("version", _required(stored, "version"))}'
        f',"owner":{_text(stored, "owner")},"client_type":{_text(stored, "client_type")}'
        f',"end_reason":{_text(stored, "end_reason")},"tags":{_listed(_strings(stored.get("tags", "[]")))}'
        f',"indexed":{_listed(_indexed(stored, tenant))}'
        f',"created_at":{_moment("created_at_ms", _required(stored, "created_at_ms"))}'
        f',"updated_at":{_moment("updated_at_ms", _required(stored, "updated_at_ms"))}'
        f',"accessed_at":{_moment("accessed_at_ms", _required(stored, "accessed_at_ms"))}'
        f',"expires_at":{_moment("expires_at_ms", stored.get("expires_at_ms"))}'
        f',"ended_at":{_moment("ended_at_ms", stored.get("ended_at_ms"))}'
        f',"ttl":{_duration("ttl_ms", stored.get("ttl_ms"))}'
        f',"max_lifetime":{_duration("max_lifetime_ms", stored.get("max_lifetime_ms"))}'
        f',"data":{{{data}}}}}'
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


def event_row(event: Event) -> str:
    """An event's row.

    Raises:
        Damage: a text in it is no valid Unicode, or holds a NUL.
    """
    changes = json.dumps(dict(event.changes), ensure_ascii=False, separators=(",", ":"))
    texts = {
        "tenant": event.tenant, "session_id": event.session_id, "id": event.id, "type": event.type,
        "kind": event.kind, "actor": event.actor, "trace_id": event.trace_id,
    }  # fmt: skip
    before = json.dumps(dict(event.before), ensure_ascii=False, separators=(",", ":"))
    for name, text in (*texts.items(), ("changes", changes), ("before", before)):
        check_text(name, text)
    told = ",".join(f'"{name}":{quote(text)}' for name, text in texts.items())
    return (
        f'{{{told},"version":{event.version},"at":"{event.at.isoformat()}"'
        f',"changes":{as_jsonb(changes, embed=True)},"before":{as_jsonb(before, embed=True)}}}'
    )


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
    if text is None:
        return _NULL
    try:
        return f'"{datetime_from(_integer(name, text)).isoformat()}"'
    except OverflowError:
        raise Damage(name) from None


def _duration(name: str, text: str | None) -> str:
    return _NULL if text is None else f'"{_integer(name, text)} milliseconds"'


def index_entry(tenant: str, field: str, value: str) -> str:
    """How the column `indexed` names a value of an indexed field; `field` as in the hash."""
    return f"{tenant}/{field}:{value}"


def _indexed(stored: Mapping[str, str], tenant: str) -> list[str]:
    found = []
    for spec in filter(None, stored.get("_indexes", "").split(",")):
        name = spec.removesuffix("[]")
        text = stored.get(name, "")
        values = _strings(text) if name != spec else [text] if text else []
        found += [index_entry(tenant, name, each) for each in values]
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
