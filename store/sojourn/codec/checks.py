"""Refusals and their wording, shared by records, log entries and filters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any, Final

from pydantic import ValidationError

from sojourn.errors import InvalidField
from sojourn.limits import Limits
from sojourn.models import Log

__all__ = [
    "FIELD_NAME",
    "NOT_AS_IT_IS",
    "check_indexed",
    "check_log",
    "invalid_field",
    "is_unicode",
    "problem_of",
    "quoted",
    "reason_of",
    "refused_by_type",
]

FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
NOT_AS_IT_IS: Final = "would not read back as it is: give it a value of exactly the type that is declared"
_QUOTING: Final = frozenset(
    {"union_tag_invalid", "get_attribute_error", "iteration_error", "mapping_type", "datetime_object_invalid"}
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_log(log: object) -> None:
    """Refuse what is not a log, or has a name that cannot be part of a key.

    Raises:
        InvalidField: it is not, or has one.
    """
    if not isinstance(log, Log):
        raise InvalidField("log", "is not a sojourn.Log, such as a model declares")
    if not isinstance(log.name, str) or not FIELD_NAME.fullmatch(log.name):
        raise InvalidField("log", f"has a name that does not match {FIELD_NAME.pattern}")


def check_indexed(name: str, text: str, limits: Limits) -> str:
    """Return `text`, as plain text, if it can be part of an index's key.

    Raises:
        InvalidField: it is empty, too long, or contains control characters.
    """
    if not isinstance(text, str):
        raise InvalidField(name, "an indexed value is text")
    text = str.__str__(text)  # a subclass of str may say other things than it holds
    if text and len(text) <= limits.indexed_bytes and text.isascii() and text.isprintable():
        return text  # nearly all are like this
    if not text:
        raise InvalidField(name, "an indexed value cannot be empty (use None for none)")
    if not is_unicode(text):
        raise InvalidField(name, "is not valid Unicode text")
    size = len(text.encode())
    if size > limits.indexed_bytes:
        raise InvalidField(name, f"an indexed value takes {size} bytes; at most {limits.indexed_bytes} are allowed")
    if _CONTROL.search(text):
        raise InvalidField(name, "an indexed value contains a control character")
    return text


def is_unicode(text: str) -> bool:
    """Whether it has no lone surrogates, which nothing outside of Python takes for text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def quoted(text: str) -> str:
    r"""A string as JSON.

    Example:
        >>> quoted('say "hi"')
        '"say \\"hi\\""'
    """
    return encode_basestring(text)


def invalid_field(name: str, error: ValidationError) -> InvalidField:
    """What pydantic found wrong, without the value that was."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(_told(part) for part in first["loc"]) or name or "record"
    return InvalidField(path, problem_of(first))


def refused_by_type(name: str, error: Exception) -> InvalidField:
    """A validator's failure that is no refusal, as of what cannot be hashed; what it says may quote the value."""
    return InvalidField(name or "record", f"is of a wrong type (its validator raises {type(error).__name__})")


def problem_of(found: Mapping[str, Any]) -> str:
    """What pydantic says of one of its errors, unless that quotes what was passed in, or what an object raised."""
    return "is not acceptable" if found["type"] in _QUOTING else str(found["msg"]).removeprefix("Value error, ")


def _told(part: int | str) -> str:
    """A step of the way to a bad value; keys of mappings are the user's data, unless they look like names."""
    return str(part) if isinstance(part, int) or FIELD_NAME.fullmatch(part) else "*"


def reason_of(error: Exception) -> str:
    """Why a value could not be encoded."""
    if isinstance(error, UnicodeEncodeError):
        return "is not valid Unicode text"
    if isinstance(error, (AttributeError, TypeError)):
        return "is of a wrong type"
    return str(error)
