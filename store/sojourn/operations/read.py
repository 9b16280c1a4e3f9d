"""The operations that read."""

from __future__ import annotations

from typing import Any, TypeVar

from redis.exceptions import ResponseError

from sojourn.codec import check_log, decode_entry
from sojourn.errors import InvalidInput, LayoutMismatch, SessionCorrupt, SessionNotFound, WrongKind
from sojourn.keys import LAYOUT, META, check_id
from sojourn.models import LIVE, Log, Session
from sojourn.operations.core import Context, Operation, call, raise_for
from sojourn.operations.record import GONE, decode_readable, decode_record, now_ms

__all__ = ["entries", "get", "open_layout"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")


def open_layout(partitions: int) -> tuple[Operation[bool], Operation[bool]]:
    """Two steps: look how this Redis is laid out, and lay out an empty one. The first that is true ends it.

    Only an empty Redis is written to, so that a full one, or a replica, still serves.
    """
    ours = [str(LAYOUT), str(partitions)]

    def parse(replies: list[Any]) -> bool:
        for reply in replies:
            raise_for(reply, "-", "-")
        theirs = list(replies[-1])
        for name, own, found in zip(("layout", "partitions"), ours, theirs, strict=True):
            if found != own and theirs != [None, None]:
                raise LayoutMismatch(
                    f"this Redis was laid out with {name}={found}, but this client has {name}={own}: "
                    "give all clients the same settings, or use another Redis database"
                )
        return theirs == ours

    look = ("HMGET", META, "layout", "partitions")
    set_each = (("HSETNX", META, "layout", LAYOUT), ("HSETNX", META, "partitions", partitions))
    return Operation((look,), parse), Operation((*set_each, look), parse)


def get(context: Context, model: type[S], session_id: str) -> Operation[S]:
    """One session, if it is there and not past its deadline; slides the deadline where sessions do."""
    check_id(session_id)
    keys = context.keys
    if context.sliding:
        args = (
            keys.partition.prefix, context.tenant, session_id, ",".join(context.models.kinds_of(model)),
            context.slide_gain, context.grace_ms, int(context.tells_touches), context.actor, context.trace, "record",
        )  # fmt: skip
        return call(
            "touch_session",
            [keys.session(session_id)],
            args,
            lambda reply: decode_record(context, model, reply, session_id),
        )

    def parse(replies: list[Any]) -> S:
        record, time = replies
        raise_for(time, session_id, context.tenant)
        return decode_readable(context, model, record, time, session_id)

    # Redis runs the two in a row; its clock is read last, so what it calls live was so after the record was read.
    return Operation((("HGETALL", keys.session(session_id)), ("TIME",)), parse)


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < 2**53


def entries(
    context: Context, model: type[Session], session_id: str, log: Log[E], start: int, count: int | None
) -> Operation[list[E]]:
    """A stretch of a log."""
    check_id(session_id)
    check_log(log)
    if not _is_count(start, 0) or not (count is None or _is_count(count, 1)):
        raise InvalidInput("entries() takes a start of 0 or more and a count of 1 or more")
    stop = -1 if count is None else start + count - 1
    key = context.keys.log(session_id, log.name)

    def parse(replies: list[Any]) -> list[E]:
        if isinstance(replies[1], ResponseError) and str(replies[1]).startswith("WRONGTYPE"):
            raise SessionCorrupt(session_id, context.tenant, log.name)
        for reply in replies:
            raise_for(reply, session_id, context.tenant)
        (kind, status, expires), found, time = replies
        try:
            overdue = status in LIVE and expires is not None and int(expires) <= now_ms(time)
        except ValueError:
            raise SessionCorrupt(session_id, context.tenant, "expires_at_ms") from None
        if status is None or status in GONE or overdue:
            raise SessionNotFound(session_id, context.tenant)
        if not issubclass(context.models.codec(kind or "").model, model):
            raise WrongKind(session_id, context.tenant, kind or "")
        return [decode_entry(log, each, session_id, context.tenant) for each in found]

    state = ("HMGET", context.keys.session(session_id), "kind", "status", "expires_at_ms")
    return Operation((state, ("LRANGE", key, start, stop), ("TIME",)), parse)
