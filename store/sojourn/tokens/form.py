"""What a token looks like: ``sjt_<partition>_<random>_<checksum>``, so that people and secret scanners recognise one.

256 random bits and, of all that is before it, the CRC-32, both in base62. The checksum tells a token from what only
looks like one, without a question to Redis; it proves nothing. Access and refresh tokens look alike.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from binascii import crc32
from typing import Final, NamedTuple

from sojourn.errors import TokenInvalid

__all__ = ["LONGEST", "TOKEN_PATTERN", "Token", "is_token", "make_token", "masked_tokens", "parse_token", "token_hash"]

TOKEN_PATTERN: Final = r"\bsjt_[0-9]{2,6}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}\b"  # noqa: S105
"""A regular expression that finds tokens in other text, for secret scanners."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = re.compile(r"sjt_([0-9]{2}|[1-9][0-9]{2,5})_[0-9A-Za-z]{43}_([0-9A-Za-z]{6})")
_PAIRS: Final = tuple(high + low for high in _DIGITS for low in _DIGITS)
"""Every two digits: each verification computes a checksum."""
_LOOKS_SO: Final = re.compile(r"sjt_[0-9A-Za-z_]+")
"""Wider than a token, so that one with a typing error, or a part of one, is not shown either."""
LONGEST: Final = 64
"""No token has more characters."""
_RANDOM_DIGITS: Final = 43
_CHECK_DIGITS: Final = 6


class Token(NamedTuple):
    """What may be known of a token: nothing by which it could be presented."""

    partition: int
    """Of the tenant that issued it."""
    hash: str
    """The SHA-256 of its text, in hexadecimal digits: all that Redis ever sees of it."""


def make_token(partition: int) -> str:
    """A new token of a partition.

    Example:
        >>> is_token(make_token(7))
        True
    """
    begun = f"sjt_{partition:02d}_{_base62(secrets.randbits(256), _RANDOM_DIGITS)}_"
    return begun + _checksum(begun)


def parse_token(text: object, tenant: str = "-") -> Token:
    """What a token tells of itself. `tenant` is for the error.

    Raises:
        TokenInvalid: it is none (``malformed``), whatever else it is.

    Example:
        >>> parse_token(make_token(7)).partition
        7
    """
    if type(text) is str and len(text) <= LONGEST:
        match = _TOKEN.fullmatch(text)
        if match is not None and match[2] == _checksum(text[:-_CHECK_DIGITS]):
            return Token(int(match[1]), token_hash(text))
    raise TokenInvalid(tenant, "malformed")


def is_token(text: object) -> bool:
    """Whether a text has the form of a token; Redis alone knows whether it opens anything.

    Example:
        >>> is_token("sjt_40_"), is_token(None)
        (False, False)
    """
    try:
        parse_token(text)
    except TokenInvalid:
        return False
    return True


def masked_tokens(text: str) -> str:
    """The text, without what looks like a token in it.

    Example:
        >>> masked_tokens("no session sjt_40_abc")
        'no session sjt_***'
    """
    return _LOOKS_SO.sub("sjt_***", text) if "sjt_" in text else text


def token_hash(text: str) -> str:
    """The SHA-256 of a token's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(begun: str) -> str:
    high, rest = divmod(crc32(begun.encode()), 62**4)
    middle, low = divmod(rest, 62**2)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
