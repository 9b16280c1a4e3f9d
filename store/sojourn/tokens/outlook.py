"""What revoking would come to: for people who look before they do it."""

# ruff: noqa: SLF001 (it is the store's own, apart only for the reader's sake)
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sojourn.errors import SessionNotFound
from sojourn.models import LIVE
from sojourn.operations.core import Context, Operation, all_of
from sojourn.operations.record import now_ms
from sojourn.operations.tokens import family_named
from sojourn.tokens.form import parse_token
from sojourn.tokens.model import TokenFamily

if TYPE_CHECKING:
    from sojourn.client import SessionStore

__all__ = ["RevokeOutlook", "would_revoke", "would_revoke_owner", "would_revoke_session"]


@dataclass(frozen=True)
class RevokeOutlook:
    """How much would be revoked.

    Example:
        >>> RevokeOutlook(sessions=1, families=2, revoked=3).to_json()["revoked"]
        3
    """

    sessions: int = 0
    families: int = 0
    revoked: int = 0
    """Tokens that can be used now."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def would_revoke(store: SessionStore[Any], token: str) -> RevokeOutlook:
    """What `Tokens.revoke` would end, whichever kind the token is.

    Raises:
        TokenInvalid: it has not the form of a token.
        StoreUnavailable: Redis did not answer in time.
    """
    session_id, family = store._run(lambda: _look(store._context, token))
    if session_id is None:
        return RevokeOutlook()
    return _sum((each for each in _families(store, session_id) if each.id == family), 1)


def would_revoke_session(store: SessionStore[Any], session_id: str) -> RevokeOutlook:
    """What `Tokens.revoke_session` would end.

    Raises:
        InvalidId: not a session id.
        StoreUnavailable: Redis did not answer in time.
    """
    families = list(_families(store, session_id))
    return _sum(families, 1 if families else 0)


def would_revoke_owner(store: SessionStore[Any], owner: str) -> RevokeOutlook:
    """What `Tokens.revoke_owner` would end.

    Raises:
        InvalidField: not an owner.
        StoreUnavailable: Redis did not answer in time.
    """
    sessions = families = revoked = 0
    cursor: str | None = None
    while True:
        page = store.list(owner=owner, status=tuple(LIVE), cursor=cursor)
        for session_id in (*(each.id for each in page.sessions), *(each.session_id for each in page.damaged)):
            one = would_revoke_session(store, session_id)
            sessions, families, revoked = (
                sessions + one.sessions, families + one.families, revoked + one.revoked
            )  # fmt: skip
        cursor = page.cursor
        if cursor is None:
            return RevokeOutlook(sessions, families, revoked)


def _look(context: Context, token: str) -> Operation[tuple[str | None, str | None]]:
    parsed = parse_token(token, context.tenant)
    look = all_of((("HGET", context.keys.token(parsed.session_id), parsed.hash), ("TIME",)))

    def parse(replies: list[Any]) -> tuple[str | None, str | None]:
        known, time = look.parse(replies)
        family = family_named(known, now_ms(time))
        return (None, None) if family is None else (parsed.session_id, family)

    return Operation(look.commands, parse)


def _families(store: SessionStore[Any], session_id: str) -> Iterator[TokenFamily]:
    try:
        yield from store.tokens.list(session_id)
    except SessionNotFound:
        return


def _sum(families: Iterable[TokenFamily], sessions: int) -> RevokeOutlook:
    each = list(families)
    usable = sum((one.access_expires_at is not None) + (one.refresh_expires_at is not None) for one in each)
    return RevokeOutlook(sessions if each else 0, len(each), usable)
