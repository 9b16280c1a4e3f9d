"""The operations on tokens. Only the hash of a token's text is ever sent to Redis."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, TypeVar

from sojourn.codec import Codec, datetime_from
from sojourn.errors import InvalidField, SessionNotFound, TokenInvalid
from sojourn.keys import FIRST_ISOLATED, check_id
from sojourn.models import LIVE, Session
from sojourn.operations import listing
from sojourn.operations.core import (
    CLOCK,
    Context,
    Operation,
    call,
    is_of_another_type,
    new_operation_id,
    pairs,
    raise_for,
)
from sojourn.operations.record import decode_readable, now_ms
from sojourn.operations.write import _kinds
from sojourn.tokens.form import make_token, parse_marked, parse_token, token_hash
from sojourn.tokens.model import TokenFamily, TokenPair

__all__ = ["family_named", "issue", "list_flow", "refresh", "revoke", "revoke_owner_flow", "revoke_session", "verify"]

S = TypeVar("S", bound=Session)
_FINGERPRINT_BYTES: Final = 1024
_PAGE: Final = 100
_LISTED: Final = 200
"""Tokens and families of a session that one step of a list reads, about."""
_KINDS: Final = ("access", "refresh", "used")
_LONGEST_MS: Final = 16
"""Digits of a moment."""
_FAMILY: Final = re.compile(r"since ([0-9]{1,16}) issued ([0-9]{1,16}) .*")


def issue(
    context: Context, model: type[Session], session_id: str, access_ms: int, refresh_ms: int | None,
    fingerprint: str | None,
) -> Operation[TokenPair]:  # fmt: skip
    """The first pair of a new family; `refresh_ms` None: an access token alone."""
    session_id = check_id(session_id)
    keys = context.keys
    access = make_token(keys.partition.number, session_id)
    refresh = None if refresh_ms is None else make_token(keys.partition.number, session_id)
    args = (
        keys.partition.prefix, keys.tenant, session_id, new_operation_id(), _kinds(context, model),
        secrets.token_hex(5), context.limits.tokens, context.actor, context.trace,
        token_hash(access), _bound(access, fingerprint), access_ms,
        "" if refresh is None else token_hash(refresh), "" if refresh is None else _bound(refresh, fingerprint),
        0 if refresh_ms is None else refresh_ms,
    )  # fmt: skip
    return call("issue_tokens", [keys.session(session_id)], args, _pair(context, access, refresh, session_id))


def verify(
    context: Context, model: type[S], token: str, fingerprint: str | None, *, counts: bool = False
) -> Operation[S]:
    """The session that an access token opens. Where sessions slide, its deadline does.

    `counts`: whether the tenant has a rate of operations.

    A token tells which record to ask for, so plain commands do, the same whatever it is. What Redis has under the hash
    of its whole text decides. The record is read before that, so what the token opens is told as it was while it was
    valid.
    """
    (session_id, hash_), keys = _own(context, token), context.keys
    bound = "" if fingerprint is None else _bound(token, fingerprint)

    def opened(replies: list[Any]) -> S:  # all was read, whatever the token is
        record, found, time = replies
        if isinstance(found, Exception):
            if not is_of_another_type(found):
                raise_for(found, session_id, context.tenant)
            found = None  # other hands wrote it
        known = _known(found)
        if known is None:
            raise TokenInvalid(context.tenant)
        if type(time) is not list:
            raise_for(time, session_id, context.tenant)
        kind, _, over_ms, print_ = known
        now = now_ms(time)
        if over_ms <= now:
            raise TokenInvalid(context.tenant)
        if kind != "access":
            raise TokenInvalid(context.tenant, "kind")
        if print_ and print_ != bound:
            raise TokenInvalid(context.tenant, "fingerprint")
        try:
            session = decode_readable(context, model, record, now, session_id)
        except SessionNotFound:
            raise TokenInvalid(context.tenant) from None
        if not session.is_live:
            raise TokenInvalid(context.tenant)
        return session

    if context.sliding or counts:
        args = (
            keys.partition.prefix, keys.tenant, session_id, _kinds(context, model), hash_, bound,
            context.slide_gain if context.sliding else "", context.grace_ms, int(context.tells_touches), context.actor,
            context.trace,
        )  # fmt: skip

        def parse(reply: Any) -> S:
            raise_for(reply, "-", context.tenant)
            found, record, time = reply
            return opened([record, found, time])

        return call("verify_counted", [keys.token(session_id)], args, parse)
    return Operation((("HGETALL", keys.session(session_id)), ("HGET", keys.token(session_id), hash_), CLOCK), opened)


def refresh(context: Context, model: type[Session], token: str, fingerprint: str | None) -> Operation[TokenPair]:
    """A new pair for a refresh token."""
    (session_id, hash_), keys = _own(context, token), context.keys
    access, renewed = (make_token(keys.partition.number, session_id) for _ in range(2))
    args = (
        keys.partition.prefix, keys.tenant, session_id, new_operation_id(), _kinds(context, model), hash_,
        _bound(token, fingerprint), context.limits.tokens, context.actor, context.trace,
        token_hash(access), _bound(access, fingerprint), token_hash(renewed), _bound(renewed, fingerprint),
    )  # fmt: skip
    return call("refresh_tokens", [keys.token(session_id)], args, _pair(context, access, renewed))


def revoke(context: Context, model: type[Session], token: str) -> Operation[int]:
    """A token's family."""
    parsed, keys = parse_token(token, context.tenant), context.keys
    args = (
        keys.partition.prefix, keys.tenant, parsed.session_id, new_operation_id(), _kinds(context, model), parsed.hash,
        context.actor, context.trace,
    )  # fmt: skip
    return call("revoke_token", [keys.token(parsed.session_id)], args, _count(context, "-"))


def revoke_session(context: Context, model: type[Session], session_id: str, reason: str = "session") -> Operation[int]:
    """All tokens of a session."""
    session_id = check_id(session_id)
    keys = context.keys
    args = (
        keys.partition.prefix, keys.tenant, session_id, new_operation_id(), _kinds(context, model), reason,
        context.actor, context.trace,
    )  # fmt: skip
    return call("revoke_tokens", [keys.session(session_id)], args, _count(context, session_id))


def revoke_owner_flow(context: Context, codec: Codec[S], owner: str) -> Generator[Operation[Any], Any, int]:
    """All tokens of the sessions that an owner has now, page by page, the newest first."""
    wanted = listing.filters(
        context, codec, status=tuple(LIVE), kind=None, owner=owner, client_type=None, tag=None, created_after=None,
        created_before=None, where=None,
    )  # fmt: skip
    count, cursor = 0, None
    page_size = min(_PAGE, context.limits.batch)
    while True:
        page = yield from listing.list_flow(context, codec, wanted, None, page_size, cursor)
        for session_id in (*(each.id for each in page.sessions), *(each.session_id for each in page.damaged)):
            count += yield revoke_session(context, codec.model, session_id, "owner")
        cursor = page.cursor
        if cursor is None:
            return count


def list_flow(
    context: Context, model: type[Session], session_id: str
) -> Generator[Operation[Any], Any, list[TokenFamily]]:
    """What tokens a session has, the newest family first; some of them at a time."""
    session_id = check_id(session_id)
    known: dict[str, str] = {}
    cursor = "0"
    while True:
        cursor, some, now = yield _list_step(context, model, session_id, cursor)
        known.update(some)
        if cursor == "0":
            return _families(known, now)


def _list_step(
    context: Context, model: type[Session], session_id: str, cursor: str
) -> Operation[tuple[str, dict[str, str], int]]:
    keys = context.keys

    def parse(reply: Any) -> tuple[str, dict[str, str], int]:
        raise_for(reply, session_id, context.tenant)
        following, some, time = reply
        return str(following), pairs(some), now_ms(time)

    args = (keys.partition.prefix, keys.tenant, session_id, _kinds(context, model), cursor, _LISTED)
    return call("list_tokens", [keys.session(session_id)], args, parse)


def _known(text: str | None) -> tuple[str, str, int, str] | None:
    """What Redis knows of a token: kind, family, when it is over, and what its client's fingerprint must come to.

    None: it knows no such token.
    """
    parts = text.split(" ") if text else ()
    if len(parts) == 4 and parts[0] in _KINDS and parts[2].isdecimal() and len(parts[2]) <= _LONGEST_MS:
        return parts[0], parts[1], int(parts[2]), parts[3]
    return None


def family_named(known: str | None, now: int) -> str | None:
    """The family of a token by what Redis knows of it; None: it is over, or not known."""
    token = _known(known)
    return token[1] if token is not None and token[2] > now else None


def _families(known: Mapping[str, str], now: int) -> list[TokenFamily]:
    """The families that have a token in force, by what Redis knows of each token and family."""
    tokens: dict[str, list[tuple[str, int, str]]] = {}
    for text in known.values():
        token = _known(text)
        if token is not None and token[2] > now:
            kind, name, over_ms, print_ = token
            tokens.setdefault(name, []).append((kind, over_ms, print_))
    found = []
    for name, own in tokens.items():
        family, in_force = _FAMILY.fullmatch(known.get(name, "")), [each for each in own if each[0] != "used"]
        if family is not None and in_force:
            over_at = {kind: datetime_from(over_ms) for kind, over_ms, _ in in_force}
            found.append(
                TokenFamily(
                    id=name, issued_at=datetime_from(int(family[1])), renewed_at=datetime_from(int(family[2])),
                    access_expires_at=over_at.get("access"), refresh_expires_at=over_at.get("refresh"),
                    used=len(own) - len(in_force), bound=any(print_ for _, _, print_ in in_force),
                )
            )  # fmt: skip
    return sorted(found, key=lambda each: (each.issued_at, each.id), reverse=True)


def _own(context: Context, token: str) -> tuple[str, str]:
    """The session id and the hash of a token that may be this tenant's: nobody else's needs a question to Redis.

    A tenant with a partition of its own may have tokens from before it had that, and who asks may not know yet that it
    has one.
    """
    usual = parse_marked(token, context.token_mark)
    if usual is not None:
        return usual
    parsed, partition = parse_token(token, context.tenant), context.keys.partition
    if parsed.partition != partition.number and not (partition.is_isolated or parsed.partition >= FIRST_ISOLATED):
        raise TokenInvalid(context.tenant)
    return parsed.session_id, parsed.hash


def _bound(token: str, fingerprint: str | None) -> str:
    """What stands for a fingerprint in Redis: nobody who reads it there can guess at it, for the token is not there."""
    if fingerprint is None:
        return ""
    if not isinstance(fingerprint, str):
        raise InvalidField("fingerprint", f"is text, not {type(fingerprint).__name__}")
    try:
        told = str.encode(fingerprint)
    except UnicodeEncodeError:
        raise InvalidField("fingerprint", "is not valid Unicode text") from None
    if not 0 < len(told) <= _FINGERPRINT_BYTES:
        raise InvalidField("fingerprint", f"takes {len(told)} bytes; 1 to {_FINGERPRINT_BYTES} are allowed")
    return hashlib.sha256(token.encode() + b" " + told).hexdigest()


def _pair(context: Context, access: str, refresh: str | None, session_id: str = "-") -> Callable[[Any], TokenPair]:
    def parse(reply: Any) -> TokenPair:
        raise_for(reply, session_id, context.tenant)
        access_ms, refresh_ms = reply
        return TokenPair(
            access, refresh, datetime_from(access_ms), None if refresh is None else datetime_from(refresh_ms)
        )

    return parse


def _count(context: Context, session_id: str) -> Callable[[Any], int]:
    def parse(reply: Any) -> int:
        raise_for(reply, session_id, context.tenant)
        return int(reply)

    return parse
