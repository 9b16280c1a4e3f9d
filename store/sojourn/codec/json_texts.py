"""Between values and the JSON that they are stored as, where they are no scalars; and what pydantic makes a text of."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, from_json

from sojourn.codec.checks import is_unicode
from sojourn.codec.fidelity import same
from sojourn.codec.texts import plain_text

__all__ = ["json_coder", "json_object", "json_text", "json_value", "plain_coder", "sound_json", "stays"]

_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_REPLACED: Final = "\ufffd"


def json_text(adapter: TypeAdapter[Any], value: Any) -> str:
    """A value as JSON.

    Raises:
        ValueError: it cannot be written as JSON, or contains a number that is not finite.
    """
    try:
        # What pydantic would warn of is found by reading it back, or is of no account.
        raw = adapter.serializer.to_json(value, by_alias=True, round_trip=True, warnings=False)
    except PydanticSerializationError as error:
        # What an object of the caller's raised, with its words, is told here too.
        told = f" ({error})" if str(error).startswith("Unable to serialize unknown type") else ""
        raise ValueError(f"cannot be written as JSON{told}") from None
    text = sound_json(raw)
    if _REPLACED in text and not _has_unicode_keys(adapter.dump_python(value, warnings=False)):
        raise ValueError("is not valid Unicode text")
    return text


def sound_json(raw: bytes) -> str:
    """JSON as text, if Redis and PostgreSQL can hold it.

    Raises:
        ValueError: it contains a NUL, or a number that is not finite.
    """
    text = raw.decode()
    if "NaN" in text or "Infinity" in text:
        try:
            from_json(raw, allow_inf_nan=False)
        except ValueError:
            raise ValueError("contains a number that is not finite") from None
    if "u0000" in text and _NUL.search(text):
        raise ValueError("contains a NUL character, which PostgreSQL cannot store")
    return text


def json_value(adapter: TypeAdapter[Any], text: str) -> Any:
    """What `json_text` wrote. A field with an alias for validation only was written under its name.

    Raises:
        ValueError: it is no value of the type.
    """
    return adapter.validator.validate_json(text, by_alias=True, by_name=True)


def json_object(text: str) -> dict[str, Any]:
    """A JSON object with whatever JSON in it, as pydantic reads it, in half the time.

    Raises:
        ValueError: it is none.
    """
    try:
        found = from_json(text, cache_strings="keys")
    except TypeError:
        raise ValueError("not Unicode text") from None
    if type(found) is not dict:
        raise ValueError("not a JSON object")
    return found


def _has_unicode_keys(value: Any) -> bool:
    """Whether no key in a nested value has a lone surrogate, which pydantic refuses in values but replaces in keys."""
    layer = [value]
    while layer:
        mappings = [each for each in layer if isinstance(each, dict)]
        if not all(is_unicode(key) for each in mappings for key in each if isinstance(key, str)):
            return False
        inner = [child for each in mappings for child in each.values()]
        layer = inner + [child for each in layer if isinstance(each, (list, tuple)) for child in each]
    return True


def json_coder(adapter: TypeAdapter[Any]) -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """How values that an adapter takes become JSON, and are read back."""
    return lambda value: json_text(adapter, value), lambda text: json_value(adapter, text)


def stays(adapter: TypeAdapter[Any]) -> Callable[[Any, Any], bool]:
    """Whether a value is still the same when it was read; a reader validates once more what it decoded."""

    def agrees(value: Any, found: Any) -> bool:
        return same(value, found) and same(value, adapter.validate_python(found, by_alias=True, by_name=True))

    return agrees


def plain_coder(adapter: TypeAdapter[Any]) -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """For scalars with a text form of their own: enums, UUIDs, decimals, dates."""

    def encode(value: Any) -> str:
        return plain_text(str(adapter.dump_python(value, mode="json")))

    return encode, adapter.validate_strings
