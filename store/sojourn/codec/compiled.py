"""A decoder for one model, as source that is written and compiled once: the quick way from a hash to an instance.

It only knows sound records. Whatever is the least in doubt it leaves to the careful way (`Reader`), which validates
all of it and tells what is wrong; so the two never differ but in how long they take. What was validated when it was
written is validated again only where a field's type makes that more than looking at the type of its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, TypeVar

from pydantic import SecretStr
from pydantic_core import SchemaError, from_json

from sojourn.codec.checks import is_unicode
from sojourn.codec.fields import FieldCodec
from sojourn.codec.json_texts import json_object
from sojourn.codec.shapes import Shape
from sojourn.codec.source import bounds, compiled, default, instance
from sojourn.codec.texts import bool_from, duration_from, finite_from, moment_from
from sojourn.errors import SecretUnreadable
from sojourn.models import Session
from sojourn.sealing import Keyring, deferred, open_sealed

__all__ = ["DOUBT", "Decoder", "ListDecoder", "compile_decoder"]

S = TypeVar("S", bound=Session)
Decoder = Callable[[Mapping[str, str], str, str, Keyring | None], S | None]
"""Takes the hash, the id and tenant that it is to be of, and the keys that open its secrets; None: in doubt."""
ListDecoder = Callable[[Sequence[str], str, str, Keyring | None], S | None]
"""Takes names and texts in turn, in the order that it was made for, and the same beside them."""
DOUBT: Final = (
    SecretUnreadable, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RecursionError, SchemaError,
)  # fmt: skip
"""What a decoder raises where it is in doubt, too. The last: a validator asks for the default, or for nothing."""
_CACHED_TEXT: Final = 256
_ASKED: Final = {"id": "session_id", "tenant": "tenant"}
"""Parameters of a decoder, which its caller has checked."""


@lru_cache(maxsize=1024)  # sessions share a few sets of tags
def _cached_texts(text: str) -> tuple[str, ...]:
    return tuple(_texts(text))


def _texts(text: str) -> list[str]:
    """A JSON array of strings."""
    found = from_json(text, allow_inf_nan=False)
    if type(found) is not list or not all(type(each) is str for each in found):
        raise ValueError("not a list of strings")
    return found


def _texts_tuple(text: str) -> tuple[str, ...]:
    return _cached_texts(text) if len(text) <= _CACHED_TEXT else tuple(_texts(text))


def _checked(shape: Shape, decode: Callable[[str], Any]) -> Callable[[str], Any]:
    """Decode a text, and let pydantic look at it as it would with the whole record."""
    validate = shape.validate

    def checked(text: str) -> Any:
        if decode is str and not text.isascii() and not is_unicode(text):
            raise ValueError("not Unicode text")
        return validate(decode(text), by_alias=True, by_name=True)

    return checked


def compile_decoder(
    model: type[S], fields: Mapping[str, FieldCodec], shapes: Mapping[str, Shape], *, extra: bool = False,
    order: Sequence[str] | None = None,
) -> Any:  # fmt: skip
    """The model's quick decoder.

    Args:
        model: the model.
        fields: its fields.
        shapes: what comes of them.
        extra: whether fields that it does not have are kept, as texts.
        order: the names of a hash's fields in turn, for a decoder of a reply with just these (`ListDecoder`).
    """
    places = {name: 2 * number + 1 for number, name in enumerate(order or ())}
    known: dict[str, Any] = {
        "moment_from": moment_from, "duration_from": duration_from, "is_unicode": is_unicode, "isfinite": math.isfinite,
    }  # fmt: skip
    there = [name for name in shapes if order is None or fields[name].stored_as in places]
    lines = ["told = moment = None", f"given = {{{', '.join(map(repr, there))}}}"]
    if order is None:
        lines += ["get = stored.get", "lacks = given.discard"]
    for number, (name, shape) in enumerate(shapes.items()):
        each = fields[name]
        value = f"v{number}"
        decoding = _decoding(each, shape, value, number, known)
        text = f"stored[{places.get(each.stored_as, each.stored_as)!r}]"
        if name in _ASKED:
            lines += [f"{value} = {text}", f"if {value} != {_ASKED[name]}:", "    return None"]
        elif shape.required or (order is not None and name in there):
            lines += [f"{value} = {text}", *decoding]
            if name == "kind" and order is not None:  # by name, it was looked up by its kind
                known["kind"] = model.kind_name
                lines += [f"if {value} != kind:", "    return None"]
        elif order is not None:
            lines.append(f"{value} = {default(shape, number, known)}")
        else:
            lines += [f"{value} = get({each.stored_as!r})", f"if {value} is None:"]
            lines += [f"    {value} = {default(shape, number, known)}", f"    lacks({name!r})", "else:"]
            lines += ["    " + line for line in decoding]
    if extra:
        known |= {"names": frozenset(shapes), "stored_names": frozenset(each.stored_as for each in fields.values())}
        lines += [
            "extra = {n: t for n, t in stored.items() if n not in stored_names and not n.startswith('_')}",
            "if not names.isdisjoint(extra) or not all(n.isascii() and t.isascii() for n, t in extra.items()):",
            "    return None",
            "given.update(extra)",
        ]
    values = {name: f"v{number}" for number, name in enumerate(shapes)}
    lines += instance(model, values, "given", "extra" if extra else "None", known)
    lines.append("return session")
    return compiled("stored, session_id, tenant, keyring", lines, f"decoder of {model.__name__}", known)


def _decoding(each: FieldCodec, shape: Shape, value: str, number: int, known: dict[str, Any]) -> list[str]:
    """The lines that turn a field's text, which is in the variable `value`, into its value."""
    kind = shape.kind if each.secret is None else ""
    if kind == "str" and each.decode is str:
        lines = [f"if not {value}.isascii() and not is_unicode({value}):", "    return None"]
        return lines + bounds(shape, f"len({value})", number, known, "    return None")
    if kind == "int" and each.decode is int:
        return [f"{value} = int({value})", *bounds(shape, value, number, known, "    return None")]
    if kind == "float" and each.decode is finite_from:
        lines = [f"{value} = float({value})", f"if not isfinite({value}):", "    return None"]
        return lines + bounds(shape, value, number, known, "    return None")
    if kind == "bool" and each.decode is bool_from:
        return [f"if {value} != 'true' and {value} != 'false':", "    return None", f"{value} = {value} == 'true'"]
    if kind == "datetime" and each.decode is moment_from:
        # A session's times are often one and the same.
        return [
            f"if {value} == told:",
            f"    {value} = moment",
            "else:",
            f"    told = {value}",
            f"    {value} = moment = moment_from({value})",
        ]
    if kind == "timedelta" and each.decode is duration_from:
        return [f"{value} = duration_from({value})"]
    if kind == "enum" and not each.is_json:
        known[f"f{number}"] = _by_text(each, shape)
        return [f"{value} = f{number}[{value}]"]
    check = _checked(shape, each.decode)
    if each.is_json and kind == "texts":
        check = _texts_tuple
    elif each.decode is json_object and kind == "json_object":
        check = json_object
    known[f"f{number}"] = check
    if each.secret is not None:
        if shape.kind == "secret_text" and each.decode is SecretStr:  # nothing but its reader looks at its value
            known["deferred"] = deferred
            return [f"{value} = deferred(keyring, tenant, session_id, {each.stored_as!r}, {value})"]
        known["opened"] = open_sealed
        return [f"{value} = f{number}(opened(keyring, tenant, session_id, {each.stored_as!r}, {value}))"]
    return [f"{value} = f{number}({value})"]


def _by_text(each: FieldCodec, shape: Shape) -> dict[str, Any]:
    """An enum's members by the texts that they are stored as, as far as they can be stored."""
    found: dict[str, Any] = {}
    for member in shape.members:
        with suppress(ValueError):
            found[each.encode(member)] = member
    return found
