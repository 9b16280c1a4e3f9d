"""Refusals and their wording, shared by records, log entries and filters."""

from __future__ import annotations

import re
from json.encoder import encode_basestring
from typing import Final

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
    "quoted",
    "reason_of",
]

FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
NOT_AS_IT_IS: Final = "would not read back as it is: give it a value of exactly the type that is declared"
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


def check_indexed(name: str, text: str, limits: Limits) -> None:
    """Refuse what cannot be part of an index's key.

    Raises:
        InvalidField: it is empty, too long, or contains control characters.
    """
    if not isinstance(text, str):
        raise InvalidField(name, "an indexed value is text")
    if text and len(text) <= limits.indexed_bytes and text.isascii() and text.isprintable():
        return  # nearly all are like this
    if not text:
        raise InvalidField(name, "an indexed value cannot be empty (use None for none)")
    if not is_unicode(text):
        raise InvalidField(name, "is not valid Unicode text")
    size = len(text.encode())
    if size > limits.indexed_bytes:
        raise InvalidField(name, f"an indexed value takes {size} bytes; at most {limits.indexed_bytes} are allowed")
    if _CONTROL.search(text):
        raise InvalidField(name, "an indexed value contains a control character")


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
    path = ".".join(str(part) for part in first["loc"]) or name or "record"
    return InvalidField(path, str(first["msg"]))


def reason_of(error: Exception) -> str:
    """Why a value could not be encoded."""
    if isinstance(error, UnicodeEncodeError):
        return "is not valid Unicode text"
    if isinstance(error, AttributeError):
        return "is of a wrong type"
    return str(error)
