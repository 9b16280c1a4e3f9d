"""Which session a token was issued for, or found to open: so that the next time, both can be asked for at once."""

from __future__ import annotations

from typing import Final, NamedTuple

from sojourn.keys import TenantKeys

__all__ = ["Hint", "Hints"]

_MOST: Final = 10_000


class Hint(NamedTuple):
    """What to ask for at once."""

    keys: TenantKeys
    """Of the tenant whose token it is."""
    session_id: str
    commands: tuple[tuple[str, ...], ...]


class Hints:
    """Hints by the hashes of tokens. One is never believed, only tried first.

    A token opens one session for as long as it opens any, so a hint that is wrong belongs to a token that is over.

    Example:
        >>> Hints().of("hash", TenantKeys.of("acme", 64)) is None
        True
    """

    def __init__(self) -> None:
        self._found: dict[str, Hint] = {}  # each use is one step of the interpreter, so threads need no lock

    def of(self, token_hash: str, keys: TenantKeys) -> Hint | None:
        """What a tenant's token opened last."""
        hint = self._found.get(token_hash)
        return hint if hint is not None and (hint.keys is keys or hint.keys == keys) else None

    def note(self, token_hash: str, hint: Hint) -> None:
        """Keep in mind what a token opens."""
        if len(self._found) >= _MOST:
            self._found.clear()
        self._found[token_hash] = hint

    def forget(self, token_hash: str) -> None:
        """It opens nothing any more."""
        self._found.pop(token_hash, None)
