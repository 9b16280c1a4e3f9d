"""The careful way from a field's value, once it is validated, to its text: whatever is wrong with it is told."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Secret

from sojourn.codec.checks import NOT_AS_IT_IS, check_indexed, reason_of
from sojourn.codec.fields import FieldCodec
from sojourn.codec.texts import UNREADABLE
from sojourn.errors import InvalidField
from sojourn.limits import Limits, check_depth

__all__ = ["REFUSED", "check_nesting", "encode_value", "read_back"]

REFUSED: Final = "is not a value that the model takes for this secret"
_FLAT: Final = frozenset({str, int, float, bool, type(None)})
"""Types of values with nothing in them."""


def check_nesting(name: str, value: Any, limits: Limits) -> None:
    """Refuse what was given for a field, before it is validated, where that would take for ever.

    Raises:
        InvalidField: it nests too deep, or holds too much.
    """
    if type(value) not in _FLAT:
        inner = value.get_secret_value() if isinstance(value, Secret) else value
        check_depth(name, inner, limits.depth, limits.field_bytes)


def encode_value(each: FieldCodec, value: Any, limits: Limits) -> str:
    """A value's text; a secret's is clear.

    Raises:
        InvalidField: it cannot be stored, or is too large.
    """
    try:
        text = each.encode(value)
    except (ValueError, TypeError, OverflowError) as error:
        problem = reason_of(error) if each.secret is None else REFUSED
    else:
        problem = ""
    if problem:
        raise InvalidField(each.name, problem)  # here, so that no error that holds the value comes along
    bound = limits.metadata_bytes if each.name == "metadata" else limits.field_bytes
    size = len(text) if text.isascii() else len(text.encode())
    if size > bound and each.secret is not None:
        raise InvalidField(each.name, f"takes more than the {bound} bytes that are allowed")
    if size > bound:
        raise InvalidField(each.name, f"takes {size} bytes; at most {bound} are allowed")
    if each.indexed:
        if not each.many:
            check_indexed(each.name, text, limits)
            return text
        if len(value) > limits.tags:
            raise InvalidField(each.name, f"has {len(value)} values; at most {limits.tags} are allowed")
        for one in value:
            check_indexed(each.name, one, limits)
    return text


def read_back(each: FieldCodec, value: Any, text: str) -> Any:
    """What a text will be read as: nothing is stored that would be lost, or make the session unreadable.

    Raises:
        InvalidField: it would be.
    """
    try:
        found = each.decode(text)
        problem = "" if each.agrees is None or each.agrees(value, found) else NOT_AS_IT_IS
    except UNREADABLE:
        problem = "cannot be read back as it would be stored"
    if problem:
        raise InvalidField(each.name, problem)
    return found
