"""Refusals and their wording, shared by records, log entries and filters."""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError

from sojourn.errors import InvalidField
from sojourn.limits import Limits

__all__ = ["check_indexed", "invalid_field", "quoted", "reason_of"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPES: Final = {i: f"\\u{i:04x}" for i in (*range(0x20), 0x7F)} | {ord('"'): '\\"', ord("\\"): "\\\\"}


def check_indexed(name: str, text: str, limits: Limits) -> None:
    """Refuse what cannot be part of an index's key.

    Raises:
        InvalidField: it is empty, too long, or contains control characters.

    """
    if text and len(text) <= limits.indexed_bytes and text.isascii() and text.isprintable():
        return  # nearly all are like this
    if not text:
        raise InvalidField(name, "an indexed value cannot be empty (use None for none)")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidField(name, "is not valid Unicode text") from None
    if size > limits.indexed_bytes:
        raise InvalidField(name, f"an indexed value takes {size} bytes; at most {limits.indexed_bytes} are allowed")
    if _CONTROL.search(text):
        raise InvalidField(name, "an indexed value contains a control character")


def quoted(text: str) -> str:
    """A string as JSON.

    Example:
        >>> quoted('say "hi"')
        '"say \\\\"hi\\\\""'

    """
    return '"' + text.translate(_ESCAPES) + '"'


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
