"""The operations that read."""

from __future__ import annotations

from typing import Any, TypeVar

from sojourn.codec import decode_entry
from sojourn.errors import InvalidInput, LayoutMismatch, SessionNotFound
from sojourn.keys import LAYOUT, META, check_id
from sojourn.models import LIVE, Log, Session
from sojourn.operations.core import Context, Operation, call, pairs, raise_for
from sojourn.operations.record import GONE, decode_readable, decode_record, now_ms

__all__ = ["entries", "get", "open_layout"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")


def open_layout(partitions: int) -> Operation[None]:
    """Lay out an empty Redis, or check that it is laid out as this client expects."""

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            raise_for(reply, "-", "-")
        found = pairs(replies[-1])
        ours = {"layout": str(LAYOUT), "partitions": str(partitions)}
        for name, value in ours.items():
            if found.get(name) != value:
                raise LayoutMismatch(
                    f"this Redis was laid out with {name}={found.get(name)}, but this client has {name}={value}: "
                    "give all clients the same settings, or use another Redis database"
                )

    return Operation(
        (("HSETNX", META, "layout", LAYOUT), ("HSETNX", META, "partitions", partitions), ("HGETALL", META)),
        parse,
    )


def get(context: Context, model: type[S], session_id: str) -> Operation[S]:
    """One session, if it is there and not past its deadline; slides the deadline where sessions do."""
    check_id(session_id)
    keys = context.keys
    if context.sliding:
        args = (
            keys.partition.prefix, context.tenant, session_id, context.slide_gain, context.grace_ms,
            int(context.tells_touches), context.actor, context.trace, "record",
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


def entries(context: Context, session_id: str, log: Log[E], start: int, count: int | None) -> Operation[list[E]]:
    """A stretch of a log."""
    check_id(session_id)
    if start < 0 or (count is not None and count < 1):
        raise InvalidInput("entries() takes a start of 0 or more and a count of 1 or more")
    stop = -1 if count is None else start + count - 1
    key = context.keys.log(session_id, log.name)

    def parse(replies: list[Any]) -> list[E]:
        for reply in replies:
            raise_for(reply, session_id, context.tenant)
        (status, expires), found, time = replies
        overdue = status in LIVE and expires is not None and int(expires) <= now_ms(time)
        if status is None or status in GONE or overdue:
            raise SessionNotFound(session_id, context.tenant)
        return [decode_entry(log, each, session_id, context.tenant) for each in found]

    state = ("HMGET", context.keys.session(session_id), "status", "expires_at_ms")
    return Operation((state, ("LRANGE", key, start, stop), ("TIME",)), parse)
