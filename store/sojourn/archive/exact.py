r"""Between the text in Redis and jsonb in PostgreSQL, so that what comes back equals what was stored, types included.

Text goes into jsonb as a JSON string, which jsonb keeps to the letter. That is exact, but SQL cannot look inside. So
text that is itself a JSON object or array is embedded as such, where jsonb keeps its meaning exactly. It does not
where it turns numbers into others (``1e16`` into an integer, ``-0.0`` into ``0.0``), refuses text (``\u0000``), or
drops something (all but one of several equal keys). It does change the order of an object's keys, which JSON gives no
meaning to; a model whose field is an OrderedDict does, so those are never embedded.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from functools import cache
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from sojourn.codec import Codec

__all__ = ["as_jsonb", "embeddable_entries", "embeddable_fields", "from_jsonb", "quote", "survives"]

quote: Final = json.encoder.encode_basestring
"""A string as JSON."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
# Negative zeros, and numbers longer than any that a program writes (numeric takes 131072 digits before and 16383
# behind the point; Python refuses integers of over 4300).
_RISKY_NUMBER: Final = re.compile(r"-0(?![.\d])|\d{1000}")
_LONG: Final = 1000
_OPENING: Final = ("{", "[")
_SPACE: Final = " \t\n\r"
_RISKY_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_SPACE_OR_STRING: Final = re.compile(r'("(?:[^"\\]|\\.)*")|\s+', re.DOTALL)


def _distinct(found: list[tuple[str, Any]]) -> None:
    if len(found) > 1 and len({name for name, _ in found}) != len(found):
        raise ValueError("two equal keys")


def _plain(number: str) -> None:
    if "e" in number or "E" in number or (number[0] == "-" and not number.strip("-0.")):
        raise ValueError(number)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_QUICK: Final = json.JSONDecoder(parse_float=_plain, parse_constant=_refuse)
_STRICT: Final = json.JSONDecoder(object_pairs_hook=_distinct, parse_float=_plain, parse_constant=_refuse)


def as_jsonb(text: str, *, embed: bool) -> str:
    r"""The JSON to put into a jsonb column for `text`; `embed`: as an object or array if that is exact.

    Example:
        >>> as_jsonb('{"a":1.50}', embed=True), as_jsonb('{"a":1e3}', embed=True), as_jsonb("42", embed=True)
        ('{"a":1.50}', '"{\\"a\\":1e3}"', '"42"')
    """
    return text if embed and survives(text) is not None else quote(text)


def from_jsonb(value: str | list[str]) -> str:
    """The text that `as_jsonb` was given.

    `value` is how the queries tell jsonb: a string as it is, other JSON as its text in a list. Embedded text comes back
    compact, and with the keys of its objects in jsonb's order.

    Example:
        >>> from_jsonb("42"), from_jsonb(['{"a": 1.50}'])
        ('42', '{"a":1.50}')
    """
    return value if isinstance(value, str) else _SPACE_OR_STRING.sub(r"\1", value[0])


def survives(text: str) -> Any:
    r"""What is in `text` if it is an object or array that jsonb keeps exactly, else None.

    Of an object only that it is one is told: the list of a list of strings, say, is whole.

    Example:
        >>> survives('["a","b"]'), survives('{"a":1}'), survives('{"a":-0.0}'), survives("1")
        (['a', 'b'], True, None, None)
    """
    if text == "{}":
        return True
    # Most text has nothing that even looks risky; only then what is inside strings must be told from what is not.
    if text[:1] not in _OPENING or ("\\u" in text and _RISKY_ESCAPE.search(text)):
        return None
    if ("-0" in text or len(text) >= _LONG) and _RISKY_NUMBER.search(text) and _RISKY_NUMBER.search(_bare(text)):
        return None
    objects = text.count("{")
    try:
        found, end = (_QUICK if objects < 2 else _STRICT).raw_decode(text)
        # Each member has a colon. So if there are no more colons than names, no name was there twice.
        if objects == 1 and not (type(found) is dict and len(found) == text.count(":")):
            found, end = _STRICT.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if end < len(text) and text[end:].strip(_SPACE):
        return None
    return True if found is None or type(found) is dict else found


def _bare(text: str) -> str:
    return _STRING.sub('""', text)


@cache
def embeddable_fields(codec: Codec[Any]) -> frozenset[str]:
    """The hash fields of a model whose text is JSON that may be embedded."""
    fields = codec.model.model_fields
    return frozenset(
        each.stored_as
        for each in codec.fields.values()
        if each.is_json and not _keeps_order(fields[each.name].annotation)
    )


@cache
def embeddable_entries(codec: Codec[Any], log: str) -> bool:
    """Whether the entries of a log may be embedded; those of a log that the model does not know may."""
    known = codec.logs.get(log)
    return known is None or not _keeps_order(known.entry)


def _keeps_order(annotation: Any, above: tuple[Any, ...] = ()) -> bool:
    """Whether a type is, or contains, one that tells mappings by the order of their keys."""
    if annotation in above:
        return False
    bare = get_origin(annotation) or annotation
    if isinstance(bare, type) and issubclass(bare, OrderedDict):
        return True
    inside = list(get_args(annotation))
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        inside += [each.annotation for each in bare.model_fields.values()]
    return any(_keeps_order(each, (*above, annotation)) for each in inside)
