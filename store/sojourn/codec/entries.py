"""Between the entries of a log and their JSON."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from sojourn.codec.checks import NOT_AS_IT_IS, invalid_field, reason_of
from sojourn.codec.fidelity import same
from sojourn.codec.json_texts import json_text, json_value
from sojourn.errors import InvalidField, SessionCorrupt
from sojourn.limits import Limits, check_depth
from sojourn.models import Log

__all__ = ["decode_entry", "encode_entry"]

E = TypeVar("E")


def encode_entry(log: Log[E], entry: E, limits: Limits) -> str:
    """One entry as JSON.

    Raises:
        InvalidField: it is of a wrong type or too large.
    """
    check_depth(log.name, entry, limits.depth, limits.entry_bytes)
    try:
        value = log.adapter.validate_python(entry, by_alias=True, by_name=True)
        text = json_text(log.adapter, value)
    except ValidationError as error:
        raise invalid_field(log.name, error) from None
    except ValueError as error:
        raise InvalidField(log.name, reason_of(error)) from None
    try:
        back = json_value(log.adapter, text)
    except ValueError:
        raise InvalidField(log.name, "cannot be read back as it would be stored") from None
    if not same(value, back):
        raise InvalidField(log.name, NOT_AS_IT_IS)
    size = len(text.encode())
    if size > limits.entry_bytes:
        raise InvalidField(log.name, f"an entry takes {size} bytes; at most {limits.entry_bytes} are allowed")
    return text


def decode_entry(log: Log[E], text: str, session_id: str, tenant: str) -> E:
    """One entry from its JSON.

    Raises:
        SessionCorrupt: it cannot be read.
    """
    try:
        entry: E = json_value(log.adapter, text)
    except ValueError:
        raise SessionCorrupt(session_id, tenant, log.name) from None
    return entry
