"""What tenants, kinds, sessions and events may be called: keys hold nothing else of what others give."""

from __future__ import annotations

import re
from typing import Final

from sojourn.errors import InvalidId, InvalidName
from sojourn.tokens.form import masked_tokens

__all__ = ["ID", "TENANT", "check_id", "check_kind", "check_tenant", "is_id", "is_tenant", "parse_event_id"]

TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_EVENT_ID: Final = re.compile(r"([0-9]{1,6})-([0-9]{1,20}-[0-9]{1,20})")


def check_tenant(tenant: str) -> str:
    """Return `tenant` if it may be one: a letter or digit, then up to 63 letters, digits, ``_``, ``.`` or ``-``.

    Raises:
        InvalidName: it may not.
    """
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
        raise InvalidName(f"tenant {_shown(tenant)} does not match {TENANT.pattern}")
    return str.__str__(tenant)  # what a subclass of str, such as an enum, writes into a key may be other text


def is_tenant(name: str) -> bool:
    """Whether a text may be a tenant's name.

    Example:
        >>> is_tenant("acme"), is_tenant("a:b")
        (True, False)
    """
    return TENANT.fullmatch(name) is not None


def check_kind(kind: str) -> str:
    """Return `kind` if it may be one: a lower-case letter, then up to 63 lower-case letters, digits or ``_``.

    Raises:
        InvalidName: it may not.
    """
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise InvalidName(f"kind {_shown(kind)} does not match {_KIND.pattern}")
    return str.__str__(kind)


def is_id(text: str) -> bool:
    """Whether a text is a session id.

    Example:
        >>> is_id("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"), is_id("x")
        (True, False)
    """
    return ID.fullmatch(text) is not None


def check_id(session_id: str) -> str:
    """Return `session_id` if it is one.

    Raises:
        InvalidId: it is not a UUID of version 4 in its canonical lower-case form.
    """
    if type(session_id) is str and ID.fullmatch(session_id):
        return session_id
    if not isinstance(session_id, str) or not ID.fullmatch(session_id):
        shown = _shown(session_id)
        if "sjt_" in shown:
            raise InvalidId("this is a token, or part of one, and no session id: tokens.verify() finds its session")
        raise InvalidId(f"{shown} is not a session id (a random UUID in lower case)")
    return str.__str__(session_id)


def _shown(value: object) -> str:
    """Text as it is, but for its length; of anything else the type: showing it may fail, or never end."""
    if not isinstance(value, str):
        return f"<{type(value).__name__:.80}>"
    text = masked_tokens(repr(str.__str__(value)[:80]))
    return text if len(text) <= 80 else text[:77] + "..."


def parse_event_id(event_id: str) -> tuple[int, str]:
    """Partition and stream id from an event id, ``<partition>-<ms>-<sequence>``.

    Raises:
        InvalidId: it is not one.

    Example:
        >>> parse_event_id("40-1750000000000-0")
        (40, '1750000000000-0')
    """
    match = _EVENT_ID.fullmatch(event_id) if isinstance(event_id, str) else None
    if match is None:
        raise InvalidId(f"event id {_shown(event_id)} is not of the form <partition>-<ms>-<sequence>")
    return int(match[1]), match[2]
