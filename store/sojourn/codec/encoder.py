"""Encoders for one model, as source that is written and compiled once: the quick way from values to their texts.

They only know sound values, of exactly the types that fields are declared with. Whatever is the least in doubt they
leave to the careful way (`Writer`), which has pydantic validate all of it, and tells what is wrong; so the two never
differ but in how long they take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from pydantic_core import TzInfo, to_json

from sojourn.codec.checks import check_indexed
from sojourn.codec.encoding import check_nesting, encode_value, read_back
from sojourn.codec.fields import FieldCodec
from sojourn.codec.json_texts import json_object, sound_json
from sojourn.codec.shapes import Shape
from sojourn.codec.source import bounds, compiled, default, instance
from sojourn.codec.texts import bool_from, duration_from, finite_from, moment_from
from sojourn.limits import Limits
from sojourn.models import Session
from sojourn.sealing import Sealer

__all__ = ["Encoder", "FieldEncoder", "compile_encoder", "compile_field_encoder"]

S = TypeVar("S", bound=Session)
Encoder = Callable[[dict[str, Any], dict[str, Any], Any, Limits, Sealer | None], tuple[S, dict[str, str]]]
"""Takes the fields that were given, what else is known of the session, its status, and what seals its secrets.

An error of those that the writer takes for doubt: it is in doubt."""
FieldEncoder = Callable[[Any, Limits], str | None]
"""A value's text, or None for one that is told by absence. Errors as above."""
_EXACT: Final[dict[str, tuple[type[Any], Callable[[str], Any]]]] = {
    "int": (int, int), "bool": (bool, bool_from), "float": (float, finite_from), "datetime": (datetime, moment_from),
    "timedelta": (timedelta, duration_from),
}  # fmt: skip
"""Scalars that are no text: their types, and how they are read."""
_ZONES: Final = (timezone, ZoneInfo, TzInfo)
_TEXT: Final = frozenset({str})
_JSON_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_REFUSE: Final = "    raise Doubt"
_SIZES: Final = "field_bytes, indexed_bytes = limits.field_bytes, limits.indexed_bytes"


class _Doubt(ValueError):
    """A value that is left to the careful way."""


def compile_field_encoder(each: FieldCodec, shape: Shape) -> FieldEncoder:
    """The quick encoder of one field, for a value that was given, and is no secret."""
    known: dict[str, Any] = {"Doubt": _Doubt}
    lines = [_SIZES, "text = None", *_given(each, shape, "value", 0, known), "return text"]
    encode: FieldEncoder = compiled("value, limits", lines, f"encoder of {each.name}", known)
    return encode


def compile_encoder(
    model: type[S], own: Mapping[str, FieldCodec], shapes: Mapping[str, Shape], *, extra: bool
) -> Encoder[S]:
    """The model's quick encoder of new sessions. `own`: the fields that clients write. `extra`: whether there are more.

    What is given for a field that a client does not write is passed over: its caller has refused it.
    """
    known: dict[str, Any] = {"Doubt": _Doubt}
    lines = [_SIZES, "get = fields.get", "stored = {'status': status.value}"]
    values = {}
    for number, (name, shape) in enumerate(shapes.items()):
        each, value = own.get(name), f"v{number}"
        values[name] = value
        if each is not None:
            lines += _one(each, shape, value, number, known)
        elif name == "status":
            values[name] = "status"
        elif shape.required:
            values[name] = f"known[{name!r}]"
        else:
            values[name] = default(shape, number, known)
    lines += instance(model, values, "{*fields, *known}", "{}" if extra else "None", known)
    lines.append("return session, stored")
    encode: Encoder[S] = compiled("fields, known, status, limits, sealer", lines, f"encoder of {model.__name__}", known)
    return encode


def _one(each: FieldCodec, shape: Shape, value: str, number: int, known: dict[str, Any]) -> list[str]:
    """The lines that make `value` that of a new session's field, and store its text."""
    name, text = each.name, "text" if each.secret is None else f"sealer.seal({each.stored_as!r}, text)"
    store = f"stored[{each.stored_as!r}] = {text}"
    given = _given(each, shape, value, number, known, store)
    if shape.required:
        return [f"{value} = fields[{name!r}]", *given]
    usual = default(shape, number, known)
    if _takes_default(each, shape):
        return [f"{value} = get({name!r}, {usual})", *given]
    known[f"u{number}"] = partial(_encoded, each)  # a default is not validated
    made = [f"{value}, text = u{number}({value}, limits)", store]
    made = [f"{value} = {usual}", *(_unless_none(value, made) if each.none_is_absent else made)]
    return [f"if {name!r} in fields:", f"    {value} = fields[{name!r}]", *_indented(given), "else:", *_indented(made)]


def _takes_default(each: FieldCodec, shape: Shape) -> bool:
    """Whether the default can be taken as if it were given: it is the same each time, and of exactly the right type."""
    kind, usual = _exact(each, shape), shape.default
    if not kind or shape.copied or shape.factory is not None:
        return False
    if usual is None:
        return shape.nullable and each.none_is_absent
    return type(usual) is tuple if kind == "texts" else kind != "json_object"


def _given(
    each: FieldCodec, shape: Shape, value: str, number: int, known: dict[str, Any], *then: str
) -> list[str]:  # fmt: skip
    """The lines that encode a value that was given, and what is done then, unless it is told by absence."""
    lines, none_is_absent = [], each.none_is_absent and shape.nullable
    if not _exact(each, shape):
        known[f"w{number}"] = partial(_validated, each.name, shape)
        lines, none_is_absent = [f"{value} = w{number}({value}, limits)"], each.none_is_absent
    encoding = [*_encoding(each, shape, value, number, known), *then]
    return [*lines, *(_unless_none(value, encoding) if none_is_absent else encoding)]


def _unless_none(value: str, lines: list[str]) -> list[str]:
    return [f"if {value} is not None:", *_indented(lines)]


def _indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def _exact(each: FieldCodec, shape: Shape) -> str:
    """The kind of values that are encoded here without a validator; '' for others."""
    kind = shape.kind if each.secret is None else ""
    if kind == "enum" and not _tells_apart(shape.members):
        return ""
    reads = {"str": str, "json_object": json_object} | {name: read for name, (_, read) in _EXACT.items()}
    if kind in reads:
        return kind if each.decode is reads[kind] else ""
    if kind == "enum":
        return "" if each.is_json else kind
    return kind if kind == "texts" and each.is_json else ""


def _encoding(each: FieldCodec, shape: Shape, value: str, number: int, known: dict[str, Any]) -> list[str]:
    """The lines that make `text` that of a field's value, which the variable `value` has, and `value` as it is read."""
    kind, name = _exact(each, shape), each.name
    if kind == "str":
        lines = [
            f"if type({value}) is not str or len({value}) > field_bytes or '\\x00' in {value}:",
            _REFUSE,
            *bounds(shape, f"len({value})", number, known, _REFUSE),
            f"if not {value}.isascii() and len({value}.encode()) > field_bytes:",
            _REFUSE,
            f"text = {value}",
        ]
    elif kind in _EXACT:
        known |= {f"t{number}": _EXACT[kind][0], f"e{number}": each.encode, f"r{number}": each.decode}
        lines = [
            f"if type({value}) is not t{number}:",
            _REFUSE,
            *_zoned(kind, value, known),
            *bounds(shape, value, number, known, _REFUSE),
            f"text = e{number}({value})",
            "if len(text) > field_bytes:",
            _REFUSE,
        ]
        lines += [] if each.exact else [f"{value} = r{number}(text)"]
    elif kind == "enum":
        texts = _texts_of(each, shape)
        known |= {f"t{number}": frozenset(map(type, texts)), f"e{number}": texts}
        lines = [
            f"if type({value}) not in t{number}:",
            _REFUSE,
            f"text = e{number}[{value}]",
            "if len(text.encode()) > field_bytes:",
            _REFUSE,
        ]
    elif kind == "texts":
        known |= {f"e{number}": partial(_texts, each), f"t{number}": (tuple,) if shape.strict else (tuple, list)}
        return [
            f"if type({value}) not in t{number}:",
            _REFUSE,
            f"{value} = tuple({value})",
            f"text = e{number}({value}, limits)",
        ]
    elif kind == "json_object":
        known[f"e{number}"] = partial(_object, name)
        return [f"{value}, text = e{number}({value}, limits)"]
    else:
        known[f"e{number}"] = partial(_encoded, each)
        return [f"{value}, text = e{number}({value}, limits)"]
    if each.indexed:
        known["check_indexed"] = check_indexed
        lines += [
            "if not text or len(text) > indexed_bytes or not text.isascii() or not text.isprintable():",
            f"    check_indexed({name!r}, text, limits)",
        ]
    return lines


def _zoned(kind: str, value: str, known: dict[str, Any]) -> list[str]:
    """The lines that leave a time to the careful way whose zone runs code of its own."""
    if kind != "datetime":
        return []
    known["zones"] = _ZONES
    return [f"if type({value}.tzinfo) not in zones:", _REFUSE]


def _tells_apart(members: tuple[Any, ...]) -> bool:
    """Whether an enum's members can be looked up: it may say itself what they equal, and that they have no hash."""
    try:
        return len(set(members)) == len(members)
    except TypeError:
        return False


def _texts_of(each: FieldCodec, shape: Shape) -> dict[Any, str]:
    """An enum's members, as far as they can be stored, and their texts."""
    texts: dict[Any, str] = {}
    for member in shape.members:
        with suppress(ValueError, LookupError):
            text = each.encode(member)
            if each.decode(text) is member:
                texts[member] = text
    return texts


def _texts(each: FieldCodec, value: tuple[Any, ...], limits: Limits) -> str:
    most = limits.indexed_bytes
    for one in value:
        if type(one) is not str:
            raise _Doubt
        if each.indexed and (not one or len(one) > most or not one.isascii() or not one.isprintable()):
            check_indexed(each.name, one, limits)
    if each.indexed and len(value) > limits.tags:
        raise _Doubt
    return _fitting(sound_json(to_json(value)), limits.field_bytes)


def _object(name: str, value: Any, limits: Limits) -> tuple[Any, str]:
    """A mapping of JSON; what it will be read as is a copy, which no caller changes."""
    if type(value) is not dict or _left(value, limits.depth, limits.field_bytes) < 0:
        raise _Doubt
    text = sound_json(to_json(value))
    _fitting(text, limits.metadata_bytes if name == "metadata" else limits.field_bytes)
    found = json_object(text)
    if found != value:
        raise _Doubt
    return found, text


def _left(container: Any, depth: int, most: int) -> int:
    """How many more values there may be beside those in a container; negative: too many, or others than of JSON.

    Only values of exactly the types that JSON is read as are taken, nested no deeper than `depth`.
    """
    most -= len(container)
    if depth == 0 or most < 0:
        return -1
    if type(container) is dict:
        for key in container:
            if type(key) is not str:
                return -1
        container = container.values()
    for each in container:
        kind = type(each)
        if kind in _JSON_SCALARS:
            continue
        if kind is not dict and kind is not list:
            return -1
        most = _left(each, depth - 1, most)
        if most < 0:
            return -1
    return most


def _fitting(text: str, most: int) -> str:
    if len(text) > most or not (text.isascii() or len(text.encode()) <= most):
        raise _Doubt
    return text


def _validated(name: str, shape: Shape, value: Any, limits: Limits) -> Any:
    """For types that are more than what can be looked at here."""
    check_nesting(name, value, limits)
    return shape.validate(value, by_alias=True, by_name=True)


def _encoded(each: FieldCodec, value: Any, limits: Limits) -> tuple[Any, str]:
    text = encode_value(each, value, limits)
    return (value if each.exact else read_back(each, value, text)), text
