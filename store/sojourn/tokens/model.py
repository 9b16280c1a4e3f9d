"""What is known of tokens that were issued."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["TokenFamily", "TokenPair"]


@dataclass(frozen=True, repr=False)
class TokenPair:
    """An access token, and the refresh token that it can be renewed by. Shown, it hides both.

    Example:
        >>> TokenPair("sjt_...", None, datetime(2026, 1, 1), None)
        TokenPair(access='***', refresh=None, access_expires_at=2026-01-01 00:00:00, refresh_expires_at=None)
    """

    access: str
    refresh: str | None
    access_expires_at: datetime
    """When it is over, as things stand: sooner, if its session ends; a session that is kept alive keeps it alive, too,
    up to the lifetime that it was issued with."""
    refresh_expires_at: datetime | None

    def __repr__(self) -> str:
        refresh = None if self.refresh is None else "***"
        return (
            f"TokenPair(access='***', refresh={refresh!r}, access_expires_at={self.access_expires_at}, "
            f"refresh_expires_at={self.refresh_expires_at})"
        )


@dataclass(frozen=True)
class TokenFamily:
    """All tokens that descend from one `issue`: a login, say."""

    id: str
    """As events tell it; no secret, and no token."""
    issued_at: datetime
    """When the first pair was issued."""
    renewed_at: datetime
    """When the pair that is valid now was."""
    access_expires_at: datetime | None
    """None: it is over."""
    refresh_expires_at: datetime | None
    """None: it is over, or there never was one."""
    used: int
    """How many used refresh tokens are remembered: the use of one of them would revoke the family."""
    bound: bool
    """Whether its tokens are bound to a client's fingerprint."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        told = dict(vars(self))
        for name, value in told.items():
            if isinstance(value, datetime):
                told[name] = value.isoformat()
        return told
