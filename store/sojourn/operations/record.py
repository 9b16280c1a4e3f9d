"""From a reply to a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sojourn.codec import DOUBT, Codec, Layout
from sojourn.errors import SessionCorrupt, SessionNotFound, WrongKind, WrongOwner
from sojourn.models import LIVE, Session
from sojourn.operations.core import Context, pairs, raise_for

__all__ = ["GONE", "check_stored", "decode_readable", "decode_record", "decode_written", "now_ms"]

S = TypeVar("S", bound=Session)

GONE = ("expired", "deleted")
"""Statuses of sessions that a reader no longer finds."""


def decode_record(context: Context, model: type[S], reply: Any, session_id: str) -> S:
    """The session in a script's reply.

    Raises:
        SessionNotFound: there is none.
        WrongOwner: it is not the owner's for whom the caller acts.
        WrongKind: it is of another model.
        SessionCorrupt: it is damaged.
    """
    if type(reply) is not list:
        raise_for(reply, session_id, context.tenant)
    return _decoded(context, model, reply, session_id)


def _decoded(context: Context, model: type[S], reply: Any, session_id: str, *, written: bool = False) -> S:
    placed = _decoded_by_place(context, model, reply, session_id, written=written)
    if placed is not None:
        return placed[0]
    return _decoded_by_name(context, model, pairs(reply), session_id, written=written)


def _decoded_by_name(
    context: Context, model: type[S], stored: Mapping[str, str], session_id: str, *, written: bool = False
) -> S:
    codec = check_stored(context, model, stored, session_id, written=written)
    session: S = codec.decode(stored, session_id, context.keys.tenant, context.keyring)
    return session


def _decoded_by_place(
    context: Context, model: type[S], reply: Any, session_id: str, *, written: bool = False
) -> tuple[S, Layout[S]] | None:
    """The session and its layout; None where it is in doubt, or not of that very model, or not the caller's."""
    codec = context.models.codec(model.kind_name)
    if codec.layouts is None or codec.model is not model or type(reply) is not list:
        return None
    layout: Layout[S] | None = codec.layouts.of(reply)
    if layout is None:
        return None
    if context.owner and not written and (layout.owner is None or reply[layout.owner] != context.owner):
        return None
    try:
        session = layout.decoder(reply, session_id, context.keys.tenant, context.keyring)
    except DOUBT:
        return None
    return None if session is None else (session, layout)


def check_stored(
    context: Context, model: type[Session], stored: Mapping[str, str], session_id: str, *, written: bool = False
) -> Codec[Any]:
    """Refuse a record that is not there, or not one of the caller's; what `decode_record` raises. Its kind's codec.

    `written`: the script has checked the owner, whom the write may have changed.
    """
    if not stored:
        raise SessionNotFound(session_id, context.tenant)
    if context.owner and not written and stored.get("owner") != context.owner:
        raise WrongOwner(session_id, context.tenant)
    kind = stored.get("kind", "")
    codec = context.models.codec(kind)
    if codec.model is not model and not issubclass(codec.model, model):  # to ask the second is dear
        raise WrongKind(session_id, context.tenant, kind)
    return codec


def decode_written(context: Context, model: type[S], reply: Any, session_id: str) -> S:
    """The session in the reply to a write that was made, or the error reply of one that was not.

    Raises:
        What `decode_record` does; `SessionCorrupt` tells that the write was made.
    """
    if type(reply) is not list:
        raise_for(reply, session_id, context.tenant)
    try:
        return _decoded(context, model, reply, session_id, written=True)
    except SessionCorrupt as error:
        raise error.after_the_write() from None


def decode_readable(context: Context, model: type[S], record: Any, at_ms: int, session_id: str) -> S:
    """The session in the reply to HGETALL, if a reader may see it at that time of Redis's.

    Raises:
        SessionNotFound: there is none, it is past its deadline, or it was deleted.
    """
    if type(record) is not list:
        raise_for(record, session_id, context.tenant)
    placed = _decoded_by_place(context, model, record, session_id)
    if placed is not None:
        session, layout = placed
        status = "pending" if layout.status is None else record[layout.status]
        deadline = None if layout.deadline is None else record[layout.deadline]
    else:
        stored = pairs(record)
        session = _decoded_by_name(context, model, stored, session_id)
        status, deadline = stored.get("status", "pending"), stored.get("expires_at_ms")
    # Both are sound, since they were decoded.
    if status in GONE or (deadline is not None and status in LIVE and int(deadline) <= at_ms):
        raise SessionNotFound(session_id, context.tenant)
    return session


def now_ms(time: Any) -> int:
    """The reply to TIME in milliseconds."""
    return int(time[0]) * 1000 + int(time[1]) // 1000
