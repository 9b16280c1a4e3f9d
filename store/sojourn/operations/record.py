"""From a reply to a session."""

from __future__ import annotations

from typing import Any, TypeVar

from sojourn.codec import ms_from
from sojourn.errors import SessionCorrupt, SessionNotFound, WrongKind
from sojourn.models import Session
from sojourn.operations.core import Context, pairs, raise_for

__all__ = ["GONE", "decode_readable", "decode_record", "decode_written", "now_ms"]

S = TypeVar("S", bound=Session)

GONE = ("expired", "deleted")
"""Statuses of sessions that a reader no longer finds."""


def decode_record(context: Context, model: type[S], reply: Any, session_id: str) -> S:
    """The session in a script's reply.

    Raises:
        SessionNotFound: there is none.
        WrongKind: it is of another model.
        SessionCorrupt: it is damaged.
    """
    raise_for(reply, session_id, context.tenant)
    stored = pairs(reply)
    if not stored:
        raise SessionNotFound(session_id, context.tenant)
    codec = context.models.codec(stored.get("kind", ""))
    if not issubclass(codec.model, model):
        raise WrongKind(session_id, context.tenant, stored.get("kind", ""))
    session: S = codec.decode(stored, session_id, context.tenant, context.keyring)
    return session


def decode_written(context: Context, model: type[S], reply: Any, session_id: str) -> S:
    """The session in the reply to a write that was made, or the error reply of one that was not.

    Raises:
        What `decode_record` does; `SessionCorrupt` tells that the write was made.
    """
    raise_for(reply, session_id, context.tenant)
    try:
        return decode_record(context, model, reply, session_id)
    except SessionCorrupt as error:
        raise error.after_the_write() from None


def decode_readable(context: Context, model: type[S], record: Any, time: Any, session_id: str) -> S:
    """The session in the reply to HGETALL, if a reader may see it at Redis's TIME.

    Raises:
        SessionNotFound: there is none, it is past its deadline, or it was deleted.
    """
    session = decode_record(context, model, record, session_id)
    if session.status in GONE:
        raise SessionNotFound(session_id, context.tenant)
    if session.expires_at is not None and session.is_live and ms_from(session.expires_at) <= now_ms(time):
        raise SessionNotFound(session_id, context.tenant)
    return session


def now_ms(time: Any) -> int:
    """The reply to TIME in milliseconds."""
    return int(time[0]) * 1000 + int(time[1]) // 1000
