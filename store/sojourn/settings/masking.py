"""Showing settings without their passwords."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["masked"]

_IN_AUTHORITY: Final = re.compile(r"(?s)(://[^:/?#@]*):.*@")
_IN_QUERY: Final = re.compile(r"(?i)([?&](?:password|[a-z_]*secret|[a-z_]*token)=)[^&#]*")
_IN_KEYWORDS: Final = re.compile(r"(?i)\b(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)")


def masked(value: Any) -> Any:
    """A setting's value for showing: passwords in URLs are replaced by ``***``.

    Where a malformed URL leaves it open what is the password, rather too much is masked than too little.

    Example:
        >>> masked("postgresql://ada:secret@db/sojourn")
        'postgresql://ada:***@db/sojourn'
    """
    if not isinstance(value, str):
        return value
    if "://" not in value:
        return _IN_KEYWORDS.sub(r"\1***", value)
    return _IN_AUTHORITY.sub(r"\1:***@", _IN_QUERY.sub(r"\1***", value))
