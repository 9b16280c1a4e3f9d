"""The one place that says which exit code an error gets."""

from __future__ import annotations

from typing import Final

from sojourn import errors

__all__ = ["CLOSED_PIPE", "CONFLICT", "DAMAGED", "INTERRUPTED", "NOT_FOUND", "UNAVAILABLE", "USAGE", "exit_code"]

NOT_FOUND: Final = 1
USAGE: Final = 2
CONFLICT: Final = 3
UNAVAILABLE: Final = 4
DAMAGED: Final = 5
INTERRUPTED: Final = 130
"""As shells tell a process that SIGINT ended."""
CLOSED_PIPE: Final = 141
"""As shells tell a process that SIGPIPE ended: what reads the output went away before its end."""

_CODES: Final[dict[type[errors.SojournError], int]] = {
    errors.SessionNotFound: NOT_FOUND,
    errors.VersionNotFound: NOT_FOUND,
    errors.InvalidInput: USAGE,
    errors.InvalidModel: USAGE,
    errors.SettingsError: USAGE,
    errors.WrongKind: USAGE,
    errors.TokenInvalid: NOT_FOUND,
    errors.SessionCorrupt: DAMAGED,
    errors.SessionError: CONFLICT,
    errors.LimitError: CONFLICT,
    errors.StoreError: UNAVAILABLE,
    errors.ArchiveError: UNAVAILABLE,
    errors.SojournError: USAGE,
}


def exit_code(error: errors.SojournError) -> int:
    """The exit code for an error: that of its nearest class which has one.

    Example:
        >>> exit_code(errors.LogFull("ID", "acme", "10 10"))
        3
    """
    return next(_CODES[each] for each in type(error).__mro__ if each in _CODES)
