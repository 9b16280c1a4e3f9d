"""Between scalars and the plain texts that they are stored as."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sojourn.errors import InvalidField

__all__ = [
    "EXACT_INT",
    "UNREADABLE",
    "bool_from",
    "counter_text",
    "datetime_from",
    "duration_from",
    "finite_from",
    "moment_from",
    "ms_from",
    "plain_text",
    "text_of_bool",
    "text_of_duration",
    "text_of_float",
    "text_of_moment",
]

UNREADABLE: Final = (ValueError, OverflowError, KeyError)
"""What decoding a text raises that is no value of its field."""
EXACT_INT: Final = 2**53 - 1
"""The scripts count in doubles, which hold integers exactly up to here."""
_EXACT_AS_FLOAT_MS: Final = 2**32 * 1000
"""A double holds a moment before this to within half a microsecond."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def datetime_from(ms: int) -> datetime:
    """Milliseconds since the epoch as an aware datetime in UTC.

    Example:
        >>> datetime_from(1500).isoformat()
        '1970-01-01T00:00:01.500000+00:00'
    """
    # fromtimestamp takes a third of the time.
    if 0 <= ms < _EXACT_AS_FLOAT_MS:
        return datetime.fromtimestamp(ms / 1000, UTC)
    return _EPOCH + timedelta(milliseconds=ms)


def ms_from(moment: datetime) -> int:
    """An aware datetime as milliseconds since the epoch, rounded down.

    Raises:
        InvalidField: it is naive.
    """
    if moment.tzinfo is None:
        raise InvalidField("datetime", "is naive: give it a time zone")
    return (moment - _EPOCH) // _MS


def plain_text(value: Any) -> str:
    """Text as it is.

    Raises:
        ValueError: it cannot be stored.
    """
    if "\x00" in value:
        raise ValueError("contains a NUL character, which PostgreSQL cannot store")
    if not value.isascii():
        value.encode()  # lone surrogates end here
    return str(value)


def counter_text(value: Any) -> str:
    """A counter's value."""
    if abs(value) > EXACT_INT:
        raise ValueError("a counter is within +-(2**53 - 1)")
    return str(value)


def text_of_bool(value: Any) -> str:
    """A truth value."""
    return "true" if value else "false"


def bool_from(text: str) -> bool:
    """What `text_of_bool` wrote."""
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text == "true"


def text_of_float(value: Any) -> str:
    """A finite number."""
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return repr(float(value))


def finite_from(text: str) -> float:
    """What `text_of_float` wrote."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def text_of_moment(value: Any) -> str:
    """A moment in milliseconds."""
    if value.tzinfo is None:
        raise ValueError("is a naive datetime: give it a time zone")
    return str((value - _EPOCH) // _MS)


@lru_cache(maxsize=4096)  # who reads a session again finds most of its times: see docs/adr/0030
def moment_from(text: str) -> datetime:
    """What `text_of_moment` wrote."""
    return datetime_from(int(text))


def text_of_duration(value: Any) -> str:
    """A duration in milliseconds."""
    return str(value // _MS)


@lru_cache(maxsize=256)  # sessions share a few TTLs
def duration_from(text: str) -> timedelta:
    """Milliseconds, as text, as a duration."""
    return timedelta(milliseconds=int(text))
