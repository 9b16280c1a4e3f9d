"""From a session's hash to its row, a line for COPY.

Records of one model have the same fields in the same order, nearly always. What follows from the names alone is worked
out once for all of them: a template of the row, and where in the hash each of its values comes from. The texts of a
hash are made JSON together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sojourn.archive.exact import embeddable_fields, quote, survives
from sojourn.archive.lines import COLUMNS, array, escaped, escaped_texts, template
from sojourn.archive.rows import (
    ARCHIVED,
    FIRST,
    Damage,
    check_texts,
    index_entry,
    integer,
    moment,
    quoted_inside,
    strings,
)
from sojourn.codec import Codec

__all__ = ["session_row"]

_OF_THIS_REDIS: Final = (ARCHIVED, FIRST)
"""What belongs to this Redis, not to the record."""
_SHORT: Final = 128
"""Lists of so few characters, such as tags, are the same in many records, and remembered."""
_TEXTS: Final = ("tenant", "kind", "status", "owner", "client_type", "end_reason")
"""Columns that are a text of the hash as it is."""
_MOMENTS: Final = ("created_at", "updated_at", "accessed_at", "expires_at", "ended_at")
"""Columns that the hash has in milliseconds."""
_DURATIONS: Final = ("ttl", "max_lifetime")
_MS: Final = "_ms"
_REQUIRED: Final = ("kind", "status", "version", "created_at_ms", "updated_at_ms", "accessed_at_ms")


class _Index(NamedTuple):
    """What the column `indexed` tells of a field: what stands before each value, and where the values are."""

    before: str
    at: int
    is_list: bool


class _Shape(NamedTuple):
    """What records with the same fields have in common. Places are in the hash, and behind it in what is computed."""

    line: str
    pick: itemgetter[Any]
    """The line's values but for `data`, which is the last one."""
    data: str
    pick_data: itemgetter[Any]
    embeddable: tuple[int, ...]
    required: tuple[tuple[str, int], ...]
    indexed: tuple[_Index, ...]
    moments: tuple[str, ...]
    durations: tuple[str, ...]


def session_row(stored: Mapping[str, str], tenant: str, session_id: str, codec: Codec[Any]) -> str:
    """A session's row from its hash.

    Raises:
        Damage: a field that every record has is missing or malformed, or text is no valid Unicode or holds a NUL.
    """
    if stored.get("id") != session_id or stored.get("tenant") != tenant:
        raise Damage("id" if stored.get("id") != session_id else "tenant")
    shape = _shape(tuple(stored), codec, tenant, stored.get("_indexes", ""))
    values = list(stored.values())
    check_texts(stored, values)
    for name, at in shape.required:
        if not values[at]:
            raise Damage(name)
    computed = [
        str(integer("version", stored["version"])),
        _listed(stored.get("tags", "[]")),
        _indexed(shape.indexed, values),
        *[moment(name, stored[name]) for name in shape.moments],
        *[_duration(name, stored[name]) for name in shape.durations],
    ]
    embedded = [at for at in shape.embeddable if _embeds(values[at])]
    texts = values.copy()
    for at in embedded:
        texts[at] = ""
    found = quoted_inside(texts)
    for at in shape.embeddable:
        found[at] = values[at] if at in embedded else f'"{found[at]}"'
    data = escaped(shape.data % shape.pick_data(found))
    return shape.line % (*escaped_texts(shape.pick(values + computed)), data)


@lru_cache(maxsize=256)
def _shape(names: tuple[str, ...], codec: Codec[Any], tenant: str, indexes: str) -> _Shape:
    check_texts(dict.fromkeys(names, ""), names)
    places = {name: at for at, name in enumerate(names)}
    for name in _REQUIRED:
        if name not in places:
            raise Damage(name)
    moments = [name for name in _MOMENTS if name + _MS in places]
    durations = [name for name in _DURATIONS if name + _MS in places]
    columns = {name: places[name] for name in _TEXTS if name in places} | {"session_id": places["id"]}
    computed = ("version", "tags", "indexed", *moments, *durations)
    columns |= {name: len(names) + at for at, name in enumerate(computed)}
    embeddable = embeddable_fields(codec)
    data = {
        name: at for name, at in places.items() if not ("_logs" in places and name.startswith(_OF_THIS_REDIS))
    }  # never only one: it has the id and more
    members = [f"{_literal(name)}:%s" if name in embeddable else f'{_literal(name)}:"%s"' for name in data]
    return _Shape(
        template("store_sessions", (*columns, "data")),
        itemgetter(*(columns[name] for name in COLUMNS if name in columns)),
        f"{{{','.join(members)}}}",
        itemgetter(*data.values()),
        tuple(at for name, at in places.items() if name in embeddable),
        tuple((name, places[name]) for name in _REQUIRED),
        tuple(_indexes(indexes, tenant, places)),
        tuple(name + _MS for name in moments),
        tuple(name + _MS for name in durations),
    )


def _literal(text: str) -> str:
    return quote(text).replace("%", "%%")


def _indexes(specs: str, tenant: str, places: Mapping[str, int]) -> list[_Index]:
    found = []
    for spec in specs.split(","):
        name = spec.removesuffix("[]")
        if name in places:
            found.append(_Index(index_entry(tenant, name, ""), places[name], name != spec))
    return found


def _indexed(indexes: tuple[_Index, ...], values: Sequence[str]) -> str:
    found: list[str] = []
    for before, at, is_list in indexes:
        if is_list:
            found += [before + each for each in _strings(values[at])]
        elif values[at]:
            found.append(before + values[at])
    return array(found)


def _embeds(text: str) -> bool:
    """Whether JSON may stand in the row as it is."""
    if len(text) <= _SHORT and text[:1] == "[":
        return _short_survives(text)
    return survives(text) is not None


@lru_cache(maxsize=1024)
def _short_survives(text: str) -> bool:
    return survives(text) is not None


def _strings(text: str) -> Sequence[str]:
    return _short_strings(text) if len(text) <= _SHORT else strings(text)


_short_strings = lru_cache(maxsize=1024)(strings)


def _listed(text: str) -> str:
    return array(_strings(text))


@lru_cache(maxsize=1024)
def _duration(name: str, text: str) -> str:
    return f"{integer(name, text)} milliseconds"
