"""The operations that read."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sojourn.codec import check_log, decode_entry
from sojourn.errors import InvalidInput, LayoutMismatch, SessionCorrupt, SessionNotFound
from sojourn.keys import LAYOUT, META, check_id
from sojourn.models import LIVE, Log, Session
from sojourn.operations.core import CLOCK, Argument, Context, Operation, call, pairs, raise_for
from sojourn.operations.record import GONE, check_stored, decode_readable, decode_record, now_ms

__all__ = ["LogPage", "LogRead", "check_stretch", "entries_flow", "get", "log_read", "open_layout", "page_flow"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")
T = TypeVar("T")
_MOST_ENTRIES: Final = 2_000
_MOST_BYTES: Final = 500_000
"""Of a log what one step reads at most: some 1.5 ms of Redis."""


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
    session_id = check_id(session_id)
    keys = context.keys
    if context.sliding:
        args = (
            keys.partition.prefix, context.tenant, session_id, context.expects(model),
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
        if type(time) is not list:
            raise_for(time, session_id, context.tenant)
        return decode_readable(context, model, record, now_ms(time), session_id)

    # Redis runs the two in a row; its clock is read last, so what it calls live was so after the record was read.
    return Operation((("HGETALL", keys.sessions + session_id), CLOCK), parse)


def check_stretch(start: int, count: int | None) -> None:
    """Refuse what is no stretch of a log.

    Raises:
        InvalidInput: it is none.
    """
    if not _is_count(start, 0) or not (count is None or _is_count(count, 1)):
        raise InvalidInput("entries() takes a start of 0 or more and a count of 1 or more")


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < 2**53


@dataclass(frozen=True)
class LogPage(Generic[E]):
    """A stretch of a log."""

    start: int
    """Position of the first of these entries, counted from the session's very first."""
    entries: tuple[E, ...]


def entries_flow(
    context: Context, model: type[Session], session_id: str, log: Log[E], start: int, count: int | None
) -> Generator[Operation[Any], Any, list[E]]:
    """A stretch of a log: what Redis has of `count` positions from `start` on."""
    page = yield from page_flow(context, model, session_id, log, start, count)
    return list(page.entries)


def page_flow(
    context: Context, model: type[Session], session_id: str, log: Log[E], start: int, count: int | None
) -> Generator[Operation[Any], Any, LogPage[E]]:
    """The same with where it begins; what is before that, a bounded log has let go.

    A long stretch is read in steps. What a bounded log lets go of meanwhile is not in the page, which has no gaps.
    """
    session_id = check_id(session_id)
    check_log(log)
    check_stretch(start, count)
    begins, found, end = start, list[E](), None if count is None else start + count
    while True:
        at = begins + len(found)
        left = None if end is None else end - at
        step: _Step[E] = yield _step(context, model, session_id, log, at, left, is_first=not found)
        if step.page.start > at:
            begins, found = step.page.start, []
        found += step.page.entries
        end = step.end if end is None else min(end, step.end)
        if begins + len(found) >= end or not step.page.entries:
            return LogPage(begins, tuple(found))


@dataclass(frozen=True, slots=True)
class _Step(Generic[E]):
    """A part of a stretch."""

    page: LogPage[E]
    end: int
    """The position behind the log's last entry."""


def _step(
    context: Context, model: type[Session], session_id: str, log: Log[E], start: int, count: int | None, *,
    is_first: bool,
) -> Operation[_Step[E]]:  # fmt: skip
    keys = context.keys

    def parse(read: LogRead) -> _Step[E]:
        stored = read.stored
        check_stored(context, model, stored, session_id)
        try:
            expires_ms = int(stored.get("expires_at_ms", read.at_ms + 1))
        except ValueError:
            raise SessionCorrupt(session_id, context.tenant, "expires_at_ms") from None
        status = stored.get("status")
        if status is None or status in GONE or (status in LIVE and expires_ms <= read.at_ms):
            raise SessionNotFound(session_id, context.tenant)
        found = tuple(decode_entry(log, each, session_id, context.tenant) for each in read.entries)
        begins = max(start, read.first)
        page = LogPage(begins if count is None else min(begins, start + count), found)
        return _Step(page, read.first + read.length)

    return log_read(
        keys.tenant, session_id, keys.session(session_id), keys.log(session_id, log.name), log.name, parse,
        start=start, count=count, prefix=keys.partition.prefix if is_first else "", most=(_MOST_ENTRIES, _MOST_BYTES),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogRead:
    """A stretch of a log, and its session, at one moment."""

    stored: dict[str, str]
    """The session's fields that tell who may read it, or all of them."""
    at_ms: int
    """Redis's time."""
    first: int
    """Position of the first entry that Redis holds, counted from the session's very first."""
    length: int
    """How many entries Redis holds."""
    entries: list[str]
    """Those that were asked for."""


def log_read(
    tenant: str, session_id: str, session_key: Argument, log_key: Argument, name: Argument,
    parse: Callable[[LogRead], T], *, start: int = 0, count: int | None = None, whole: bool = False, prefix: str = "",
    most: tuple[int, int] = (2**53, 2**53),
) -> Operation[T]:  # fmt: skip
    """What `parse` makes of a stretch of a log.

    `whole`: read all fields of the session with it. `prefix`: the partition's, for a call that a rate counts. `most`:
    how many entries are read at most, and about how many bytes of them.
    """

    def parse_reply(reply: Any) -> T:
        raise_for(reply, session_id, tenant)
        fields, at_ms, first, length, found = reply
        return parse(LogRead(pairs(fields), int(at_ms), int(first), int(length), list(found)))

    args = (name, start, "" if count is None else count, int(whole), prefix, tenant, "{} {}".format(*most))
    return call("read_log", (session_key, log_key), args, parse_reply, alone=True)
