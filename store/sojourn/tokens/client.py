"""The tokens of a store's sessions. `aio.AsyncTokens` is the twin: the same names and signatures, awaited."""

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
    from sojourn.client import SessionStore

__all__ = ["Tokens"]

S = TypeVar("S", bound=Session)


class Tokens(Generic[S]):
    """Issues, verifies, renews and revokes tokens. A session's id is a handle; a token is a proof.

    A token is text, ``sjt_<partition>_<random>_<checksum>``. Only its SHA-256 is in Redis, so it can be handed out
    once, and is found nowhere after that. No token outlives its session: when that ends, expires, is deleted, restored
    or gets another id, its tokens are gone.

    Example:
        >>> pair = store.tokens.issue(session.id, fingerprint=user_agent)  # doctest: +SKIP
        >>> store.tokens.verify(pair.access, fingerprint=user_agent).id == session.id  # doctest: +SKIP
        True
    """

    __slots__ = ("_store",)  # one is made for each call

    def __init__(self, store: SessionStore[S]) -> None:
        self._store = store

    def issue(
        self, session_id: str, *, access_ttl: Ttl | Default = DEFAULT, refresh_ttl: Ttl | Default = DEFAULT,
        fingerprint: str | None = None,
    ) -> TokenPair:  # fmt: skip
        """A new access token, and a refresh token to renew it by: the first pair of a family.

        Args:
            session_id: what they open.
            access_ttl: seconds or a timedelta for which the access token is valid; by default the setting
                ``token_access_ttl``. Pairs that it is renewed to keep to it.
            refresh_ttl: the same for the refresh token, each from when it is given out; None: there is none.
            fingerprint: what tells the client from others, up to 1,024 bytes: the tokens then work with it alone.

        Raises:
            SessionNotFound, SessionEnded: there is nothing to open.
            InvalidTtl, InvalidField: a lifetime or the fingerprint is no good.
            StoreFull: Redis is out of memory.

        Where the session has as many tokens as the setting ``limits.tokens`` allows, its largest family is revoked.
        """
        return self._store._run(lambda: self._store._issue_tokens(session_id, access_ttl, refresh_ttl, fingerprint))

    def verify(self, token: str, *, fingerprint: str | None = None) -> S:
        """The session that an access token opens, in one round trip; slides its deadline where sessions slide.

        Args:
            token: what was presented, whatever it is.
            fingerprint: of who presented it. A token that was not bound to one opens with any.

        Raises:
            TokenInvalid: it opens nothing; `reason` tells why, for logs, and not for who presented it.
            WrongKind: its session is of another model.
            SessionCorrupt: its session's record was damaged by other hands.
        """
        return self._store._run(lambda: self._store._verify_token(token, fingerprint))

    def refresh(self, token: str, *, fingerprint: str | None = None) -> TokenPair:
        """A new pair for a refresh token, which with its access token is over then.

        A refresh token is for one use. Whoever presents a used one has a copy, or had his own stolen: its whole family
        is revoked, and an event ``token_reused`` tells. Each new refresh token lives as long as the first was to, so a
        family in use stays alive as long as its session does.

        Raises:
            TokenInvalid: it renews nothing; `reason` tells why.
            WrongKind: its session is of another model.
            StoreFull: Redis is out of memory.
        """
        return self._store._run(lambda: self._store._refresh_tokens(token, fingerprint))

    def revoke(self, token: str) -> int:
        """End a token and its family, whichever kind it is; how many tokens could be used until now.

        Raises:
            TokenInvalid: it has not the form of a token. One that opens nothing is none to revoke: 0.
            WrongKind: its session is of another model.
        """
        return self._store._drive(
            lambda: self._store._revoke(lambda: tokens.revoke(self._store._context, self._store.model, token))
        )

    def revoke_session(self, session_id: str) -> int:
        """End all tokens of a session, be it there or not; how many could be used until now.

        Raises:
            SessionNotFound: of a store that is `owned_by` one: that owner has no such session.
            WrongKind: it is of another model.
        """
        return self._store._drive(
            lambda: self._store._revoke(
                lambda: tokens.revoke_session(self._store._context, self._store.model, session_id)
            )
        )

    def revoke_owner(self, owner: str) -> int:
        """End all tokens of the sessions that an owner has at the time of the call; how many could be used until now.

        Sessions that are created meanwhile are later than the call. Cut short, it can be called again.

        Raises:
            InvalidField: not an owner.
        """
        return self._store._drive(lambda: self._store._revoke_owner(owner))

    def list(self, session_id: str) -> builtins.list[TokenFamily]:
        """The families of a session's tokens, the newest first. No token can be made from what it tells.

        Raises:
            SessionNotFound: there is no such session.
            WrongKind: it is of another model.
        """
        return self._store._drive(lambda: tokens.list_flow(self._store._context, self._store.model, session_id))
