"""From a session's hash to its row, as JSON for the SQL statement.

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
_TEXTS: Final[tuple[str, ...]] = ("id", "kind", "status", "owner", "client_type", "end_reason")
"""Columns that are a text of the hash as it is."""
_COMPUTED: Final = ("tags", "indexed", "version", "created_at", "updated_at", "accessed_at")
"""Columns of every row that are no text of the hash as it is."""
_MOMENTS: Final = ("created_at_ms", "updated_at_ms", "accessed_at_ms")
_OPTIONAL: Final = (("expires_at", "expires_at_ms"), ("ended_at", "ended_at_ms"))
_DURATIONS: Final = (("ttl", "ttl_ms"), ("max_lifetime", "max_lifetime_ms"))
_REQUIRED: Final = ("kind", "status", "version", *_MOMENTS)


class _Index(NamedTuple):
    """What the column `indexed` tells of a field: what stands before each value, and where the values are."""

    before: str
    at: int
    is_list: bool


class _Shape(NamedTuple):
    """What records with the same fields have in common. Places are in the hash, and behind it in what is computed."""

    template: str
    pick: itemgetter[Any]
    """The template's values, in order."""
    embeddable: tuple[int, ...]
    required: tuple[tuple[str, int], ...]
    indexed: tuple[_Index, ...]
    optional: tuple[str, ...]
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
    found = quoted_inside(values)
    computed = [
        _listed_strings(stored.get("tags", "[]")),
        _indexed(shape.indexed, values, found),
        str(integer("version", stored["version"])),
        *[moment(name, stored[name]) for name in _MOMENTS],
        *[moment(name, stored[name]) for name in shape.optional],
        *[_duration(name, stored[name]) for name in shape.durations],
    ]
    for at in shape.embeddable:
        found[at] = values[at] if _embeds(values[at]) else f'"{found[at]}"'
    row: str = shape.template % shape.pick(found + computed)
    return row


@lru_cache(maxsize=256)
def _shape(names: tuple[str, ...], codec: Codec[Any], tenant: str, indexes: str) -> _Shape:
    check_texts(dict.fromkeys(names, ""), names)
    places = {name: at for at, name in enumerate(names)}
    for name in _REQUIRED:
        if name not in places:
            raise Damage(name)
    optional = tuple((column, name) for column, name in _OPTIONAL if name in places)
    durations = tuple((column, name) for column, name in _DURATIONS if name in places)
    computed = (*_COMPUTED, *(column for column, _ in (*optional, *durations)))
    columns = [(name, '"%s"', places[name]) for name in _TEXTS if name in places]
    columns += [(column, "%s", len(names) + at) for at, column in enumerate(computed)]
    embeddable = embeddable_fields(codec)
    data = [
        (name, "%s" if name in embeddable else '"%s"', at)
        for name, at in places.items()
        if not ("_logs" in places and name.startswith(_OF_THIS_REDIS))
    ]
    template = f'{{"tenant":{_literal(tenant)},{_members(columns)},"data":{{{_members(data)}}}}}'
    return _Shape(
        template,
        itemgetter(*(at for _, _, at in columns), *(at for _, _, at in data)),
        tuple(at for name, at in places.items() if name in embeddable),
        tuple((name, places[name]) for name in _REQUIRED),
        tuple(_indexes(indexes, tenant, places)),
        tuple(name for _, name in optional),
        tuple(name for _, name in durations),
    )


def _members(members: Sequence[tuple[str, str, int]]) -> str:
    return ",".join(f"{_literal(name)}:{value}" for name, value, _ in members)


def _literal(text: str) -> str:
    return quote(text).replace("%", "%%")


def _indexes(specs: str, tenant: str, places: Mapping[str, int]) -> list[_Index]:
    found = []
    for spec in specs.split(","):
        name = spec.removesuffix("[]")
        if name in places:
            found.append(_Index(quote(index_entry(tenant, name, ""))[1:-1], places[name], name != spec))
    return found


def _indexed(indexes: tuple[_Index, ...], values: Sequence[str], inside: Sequence[str]) -> str:
    found = []
    for before, at, is_list in indexes:
        if is_list:
            found += [f'"{before}{quote(each)[1:-1]}"' for each in _strings(values[at])]
        elif values[at]:
            found.append(f'"{before}{inside[at]}"')
    return f"[{','.join(found)}]"


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


def _listed_strings(text: str) -> str:
    return f"[{','.join(map(quote, _strings(text)))}]"


@lru_cache(maxsize=1024)
def _duration(name: str, text: str) -> str:
    return f'"{integer(name, text)} milliseconds"'
