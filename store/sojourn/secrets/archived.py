"""What is sealed in the archive: records, snapshots of earlier states, and events with what they changed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sojourn.archive.database import Connection, statement
from sojourn.archive.rows import rows_json
from sojourn.secrets.live import Tell, texts_of
from sojourn.secrets.mover import Mover, Seen

__all__ = ["move_archived"]

_LOOKED_AT: Final = 500
_TRIES: Final = 4
_NO_ID: Final = "00000000-0000-0000-0000-000000000000"
Key = tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    """One of the archive's tables, and the statements for it."""

    name: str
    place: str
    key: Key
    """The columns of its primary key, as the statements call them."""
    first: Key
    """What comes before the first row."""


_TABLES: Final = (
    _Table("sessions", "archived", ("tenant", "id"), ("", _NO_ID)),
    _Table("snapshots", "archived", ("tenant", "id", "version", "updated_at"), ("", _NO_ID, "0", "-infinity")),
    _Table("events", "events", ("tenant", "id", "event_id"), ("", _NO_ID, "")),
)


@dataclass
class _Row:
    """One that has something sealed in it."""

    key: Key
    texts: tuple[str | None, ...]
    """Its JSON: of a record, or of an event's changes and what was before."""
    seen: list[Seen] = field(default_factory=list)


def move_archived(connection: Connection, mover: Mover, tenant: str | None, tell: Tell) -> None:
    """Go through the tables in stretches. Each statement commits by itself, so being killed loses nothing."""
    total = None
    if tenant is None:
        total = sum(connection.execute(statement("estimate_rows")).fetchall()[0])
    done = 0
    for table in _TABLES:
        after = table.first if tenant is None else (tenant, *table.first[1:])
        while True:
            values = {f"after_{name}": value for name, value in zip(table.key, after, strict=True)}
            looked_at, after = _stretch(connection, mover, table, {**values, "tenant": tenant, "looked_at": _LOOKED_AT})
            done += looked_at
            tell(done, None if total is None else max(done, total))
            if looked_at < _LOOKED_AT:
                break


def _stretch(connection: Connection, mover: Mover, table: _Table, values: Mapping[str, Any]) -> tuple[int, Key]:
    """Deal with the next rows; how many that were, and the last one's key.

    A row that others write at the same time is left, and read once more.
    """
    first: dict[Key, _Row] = {}
    rows: dict[Key, _Row] = {}
    for attempt in range(_TRIES):
        looked_at, last, rows = _read(connection, mover, table, values)
        if attempt == 0:
            whole, end = looked_at, last
        first = {**rows, **first}
        old = [each for each in rows.values() if any(seen.old for seen in each.seen)]
        if not (old and mover.moves) or attempt == _TRIES - 1:
            break
        connection.execute(
            statement(f"reseal_{table.name}"), {"rows": rows_json([_moved(mover, table, each) for each in old])}
        )
    for key, row in rows.items():
        for before, now in zip(first[key].seen, row.seen, strict=True):
            mover.count(before, now, table.place, key[0], key[1])
    return whole, end


def _read(
    connection: Connection, mover: Mover, table: _Table, values: Mapping[str, Any]
) -> tuple[int, Key, dict[Key, _Row]]:
    found = connection.execute(statement(f"sealed_{table.name}"), values).fetchall()
    rows: dict[Key, _Row] = {}
    last: Key = ()
    width = len(table.key)
    for _, is_last, is_sealed, *told in found:
        key = tuple(map(str, told[:width]))
        if is_last:
            last = key
        if is_sealed:
            kind, *texts = told[width:]
            row = rows[key] = _Row(key, tuple(texts))
            row.seen = [mover.look(_texts(each), kind or "", key[0], key[1]) for each in texts]
    return (found[0][0] if found else 0), last, rows


def _texts(text: str | None) -> dict[str, str]:
    """The texts in jsonb that is an object, or a string which holds the text of one."""
    if text is None:
        return {}
    return texts_of(json.loads(text) if text.startswith('"') else text)


def _moved(mover: Mover, table: _Table, row: _Row) -> str:
    """The row's new JSON beside the old one, which must still be there."""
    told = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in zip(table.key, row.key, strict=True)]
    for number, (text, seen) in enumerate(zip(row.texts, row.seen, strict=True)):
        new = text
        for name, (old, sealed) in mover.sealed(seen, row.key[0], row.key[1]).items():
            new = _replaced(new or "", name, old, sealed)
        told += [f'"old_{number}":{text or "null"}', f'"new_{number}":{new or "null"}']
    return f"{{{','.join(told)}}}"


def _replaced(text: str, name: str, old: str, new: str) -> str:
    r"""JSON with another text under a name; all else stays to the letter. Within a string, quotes are ``\"``."""
    pair = re.compile(rf'(\\?)"{name}\1":( ?)\1"{re.escape(old)}\1"')
    return pair.sub(lambda found: f'{found[1]}"{name}{found[1]}":{found[2]}{found[1]}"{new}{found[1]}"', text)
