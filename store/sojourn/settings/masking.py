"""Showing settings without their passwords."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote

from pydantic import SecretStr

from sojourn.sealing.keyring import KEY_ID

__all__ = ["is_secret_name", "masked", "masked_text"]

_SECRET: Final = re.compile(r"(?i)pass|pwd|secret|token|credential")
_KEYWORDS: Final = re.compile(r"\s*\w+\s*=")
_IN_KEYWORDS: Final = re.compile(r"(?is)(\w*(?:pass|pwd|secret|token)\w*\s*=\s*)('(?:[^'\\]|\\.)*(?:'|$)|(?:\\.|\S)+)")
_IN_TEXT: Final = re.compile(
    r"(?is)(\b\w*?(?:pass|pwd|secret|token|credential)\w*['\"]?\s*[=:]\s*)"
    r"('(?:[^'\\]|\\.)*(?:'|$)|\"(?:[^\"\\]|\\.)*(?:\"|$)|(?:\\.|\S)+)"
)
_IN_QUERY: Final = re.compile(r"(?s)([?&;])([^?&;=]*)=([^&]*)")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_URL_IN_TEXT: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*[^\s'\"<>).,;:!?\]]")
_KEY: Final = re.compile(rf"\s*({KEY_ID}:)")
_PREFIX: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|")
_PLAIN_USER: Final = re.compile(r"[^:/?#@]*")
_HOST: Final = r"(?:\[[^\]]*\]?|[^:,\[]*)(?::\d*)?"
_HOSTS: Final = re.compile(f"{_HOST}(?:,{_HOST})*")


def masked(value: Any) -> Any:
    """A setting's value for showing: passwords in URLs, and keys but for their ids, are replaced by ``***``.

    Where a malformed URL leaves it open what is the password, rather too much is masked than too little.

    Example:
        >>> masked("postgresql://ada:secret@db/sojourn")
        'postgresql://ada:***@db/sojourn'
    """
    if isinstance(value, tuple):
        return tuple(masked(each) for each in value)
    if isinstance(value, SecretStr):
        key = _KEY.match(value.get_secret_value())
        return f"{key[1] if key else ''}***"
    if not isinstance(value, str):
        return value
    if _KEYWORDS.match(value):
        return _IN_KEYWORDS.sub(r"\1***", value)
    text = _IN_QUERY.sub(_masked_parameter, value)
    url = _SCHEME.match(text)
    if url is None:
        before, at, after = text.rpartition("@")
        prefix = _PREFIX.match(before)
        return f"{prefix[0] if prefix else ''}***@{after}" if at else text
    scheme, rest = url[0], text[url.end() :]
    userinfo, at, host = rest.rpartition("@")
    if at:
        return scheme + _masked_user(userinfo, named=scheme.startswith("postgres")) + "@" + host
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme.startswith("unix") or _HOSTS.fullmatch(authority):
        return text
    # A port that is no number is a password whose @ was forgotten, and may well go on behind a slash.
    return scheme + authority.partition(":")[0] + ":***"


def masked_text(text: str) -> str:
    """A text that people or other programs wrote, with the passwords replaced that are in URLs and after names.

    Example:
        >>> masked_text("cannot reach redis://:secret@cache:6379/0, tried password=secret")
        'cannot reach redis://:***@cache:6379/0, tried password=***'
    """
    if "://" in text:
        text = _URL_IN_TEXT.sub(lambda url: str(masked(url[0])), text)
    return _IN_TEXT.sub(r"\1***", text) if "=" in text or ":" in text else text


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name is not to be shown.

    Example:
        >>> is_secret_name("api_token"), is_secret_name("owner")
        (True, False)
    """
    return _SECRET.search(name) is not None


def _masked_parameter(found: re.Match[str]) -> str:
    before, name, _ = found.groups()
    return f"{before}{name}=***" if _SECRET.search(unquote(name)) else found[0]


def _masked_user(userinfo: str, *, named: bool) -> str:
    """Redis takes a word alone for a user's name, but those who write one mean the password."""
    user, colon, _ = userinfo.partition(":")
    if not _PLAIN_USER.fullmatch(user) or not (colon or named):
        return "***"
    return f"{user}:***" if colon else user
