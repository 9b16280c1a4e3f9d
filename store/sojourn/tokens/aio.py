"""The asynchronous twin of `client.Tokens`: the same names and signatures, awaited."""

# ruff: noqa: SLF001 (it is the store's own, apart only for the reader's sake)
from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Generic, TypeVar

from sojourn.facade import DEFAULT, Default
from sojourn.limits import Ttl
from sojourn.models import Session
from sojourn.operations import tokens
from sojourn.tokens.model import TokenFamily, TokenPair

if TYPE_CHECKING:
    from sojourn.aio import AsyncSessionStore

__all__ = ["AsyncTokens"]

S = TypeVar("S", bound=Session)


class AsyncTokens(Generic[S]):
    """Issues, verifies, renews and revokes tokens. See `Tokens` for arguments and methods.

    Example:
        >>> pair = await store.tokens.issue(session.id)  # doctest: +SKIP
    """

    __slots__ = ("_store",)

    def __init__(self, store: AsyncSessionStore[S]) -> None:
        self._store = store

    async def issue(
        self, session_id: str, *, access_ttl: Ttl | Default = DEFAULT, refresh_ttl: Ttl | Default = DEFAULT,
        fingerprint: str | None = None,
    ) -> TokenPair:  # fmt: skip
        """See `Tokens.issue`."""
        return await self._store._run(
            lambda: self._store._issue_tokens(session_id, access_ttl, refresh_ttl, fingerprint)
        )

    async def verify(self, token: str, *, fingerprint: str | None = None) -> S:
        """See `Tokens.verify`."""
        return await self._store._run(lambda: self._store._verify_token(token, fingerprint))

    async def refresh(self, token: str, *, fingerprint: str | None = None) -> TokenPair:
        """See `Tokens.refresh`."""
        return await self._store._run(lambda: self._store._refresh_tokens(token, fingerprint))

    async def revoke(self, token: str) -> int:
        """See `Tokens.revoke`."""
        return await self._store._drive(
            lambda: self._store._revoke(lambda: tokens.revoke(self._store._context, self._store.model, token))
        )

    async def revoke_session(self, session_id: str) -> int:
        """See `Tokens.revoke_session`."""
        return await self._store._drive(
            lambda: self._store._revoke(
                lambda: tokens.revoke_session(self._store._context, self._store.model, session_id)
            )
        )

    async def revoke_owner(self, owner: str) -> int:
        """See `Tokens.revoke_owner`."""
        return await self._store._drive(lambda: self._store._revoke_owner(owner))

    async def list(self, session_id: str) -> builtins.list[TokenFamily]:
        """See `Tokens.list`."""
        return await self._store._drive(lambda: tokens.list_flow(self._store._context, self._store.model, session_id))
