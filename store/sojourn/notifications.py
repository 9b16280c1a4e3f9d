"""What Redis has to tell of for workers to hear of expiries and evictions."""

from __future__ import annotations

from typing import Final

__all__ = ["NOTIFICATIONS", "missing_flags"]

NOTIFICATIONS: Final = "notify-keyspace-events"
"""The configuration of Redis that says so."""
_WANTED: Final = (("E", "E"), ("x", "xA"), ("e", "eA"))
"""Events by their name, expired keys, evicted keys: the flag, and those by which it is set."""


def missing_flags(flags: str) -> str:
    """The flags that the listener needs and Redis has not.

    Example:
        >>> missing_flags("Kx"), missing_flags("AKE")
        ('Ee', '')
    """
    return "".join(flag for flag, by in _WANTED if not set(by) & set(flags))
