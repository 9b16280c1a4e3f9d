"""What a token looks like: ``sjt_<partition>_<random>_<checksum>``, so that people and secret scanners recognise one.

The random part begins with the session's id, itself random, in hexadecimal digits, so that the record can be asked for
along with the token. 256 random bits of the token's own follow, in base 62: they are the proof. Of all that the SHA-256
is taken, and it alone is in Redis. The checksum is its first digits: it tells a token from what only looks like one,
without a question to Redis, and proves nothing. Access and refresh tokens look alike.
"""

from __future__ import annotations

import re
import secrets
from typing import Final, NamedTuple

from sojourn.errors import TokenInvalid

# For so short a text Python's own SHA-256 takes half of what OpenSSL's does, which is dear to set up. hashlib gives it
# out only where OpenSSL has none, and a Python may have been built without it.
try:
    from _sha2 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256 as _sha256  # type: ignore[import-not-found,unused-ignore]  # before 3.12
    except ImportError:
        from hashlib import sha256 as _sha256

__all__ = [
    "TOKEN_PATTERN",
    "Token",
    "is_token",
    "make_token",
    "mark_of",
    "masked_tokens",
    "parse_marked",
    "parse_token",
    "token_hash",
]

TOKEN_PATTERN: Final = r"\bsjt_[0-9]{2,6}_[0-9a-f]{32}[0-9A-Za-z]{43}_[0-9a-f]{8}\b"  # noqa: S105
"""A regular expression that finds tokens in other text, for secret scanners."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = re.compile(
    r"sjt_([0-9]{2}|[1-9][0-9]{2,5})_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})"
    r"[0-9A-Za-z]{43}_([0-9a-f]{8})"
)
_LOOKS_SO: Final = re.compile(r"sjt_[0-9A-Za-z_]+")
"""Wider than a token, so that one with a typing error, or a part of one, is not shown either."""
_LONGEST: Final = 95
_RANDOM_DIGITS: Final = 43
_new: Final = tuple.__new__  # a third of the time that a named tuple's own takes
_CHECK_DIGITS: Final = 8
_HEX: Final = "0123456789abcdef"
_BEHIND_MARK: Final = 32 + _RANDOM_DIGITS + 1 + _CHECK_DIGITS


class Token(NamedTuple):
    """What may be known of a token: nothing by which it could be presented."""

    partition: int
    """Of the tenant that issued it."""
    session_id: str
    """What it says to open, in the form of an id; Redis alone knows whether it does."""
    hash: str
    """The SHA-256 of its text but for the checksum, in hexadecimal digits: all that Redis ever sees of it."""


def make_token(partition: int, session_id: str) -> str:
    """A new token of a session in that partition.

    Example:
        >>> is_token(make_token(7, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"))
        True
    """
    random = _base62(secrets.randbits(256), _RANDOM_DIGITS)
    begun = f"{mark_of(partition)}{session_id.replace('-', '')}{random}_"
    return f"{begun}{_sha256(begun.encode()).hexdigest()[:_CHECK_DIGITS]}"


def mark_of(partition: int) -> str:
    """What the tokens of a partition begin with.

    Example:
        >>> mark_of(7)
        'sjt_07_'
    """
    return f"sjt_{partition:02d}_"


def parse_token(text: object, tenant: str = "-") -> Token:
    """What a token tells of itself. `tenant` is for the error.

    Raises:
        TokenInvalid: it is none (``malformed``), whatever else it is.

    Example:
        >>> parse_token(make_token(7, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")).session_id
        '6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77'
    """
    if type(text) is str and len(text) <= _LONGEST:
        match = _TOKEN.fullmatch(text)
        if match is not None:
            partition, first, second, third, fourth, fifth, checksum = match.groups()
            found = token_hash(text)
            if found[:_CHECK_DIGITS] == checksum:
                return _new(Token, (int(partition), f"{first}-{second}-{third}-{fourth}-{fifth}", found))
    raise TokenInvalid(tenant, "malformed")


def parse_marked(text: object, mark: str) -> tuple[str, str] | None:
    """Session id and hash of a token with that mark, in half the time of `parse_token`; None: it is for that to judge.

    The checksum and the place of an id are looked at, and not every digit of the random part: of a text that has them
    all the same, Redis knows nothing.

    Example:
        >>> parse_marked(make_token(7, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"), "sjt_07_")[0]
        '6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77'
    """
    if type(text) is str and len(text) == len(mark) + _BEHIND_MARK and text.startswith(mark) and text.isascii():
        found = _sha256(text[:-8].encode()).hexdigest()
        if found[:8] == text[-8:] and not text[-84:-52].strip(_HEX):  # nothing is left: these are all its digits
            return f"{text[-84:-76]}-{text[-76:-72]}-{text[-72:-68]}-{text[-68:-64]}-{text[-64:-52]}", found
    return None


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
    """The SHA-256 of a token's text but for its checksum."""
    found: str = _sha256(text[:-_CHECK_DIGITS].encode()).hexdigest()
    return found


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
