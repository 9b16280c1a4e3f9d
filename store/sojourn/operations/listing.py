"""Listing and counting: filters, pages, cursors."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from sojourn.codec import Codec, check_indexed, ms_from
from sojourn.errors import InvalidCursor, InvalidField, InvalidInput, SessionCorrupt, SojournError, WrongOwner
from sojourn.keys import check_id, check_kind
from sojourn.limits import at_most
from sojourn.models import Session, Status
from sojourn.operations.core import Argument, Context, Operation, call, raise_for
from sojourn.operations.record import GONE, decode_record

__all__ = [
    "Filters",
    "Page",
    "count_flow",
    "filters",
    "ids_flow",
    "list_flow",
    "moment_in_utc",
    "pack_cursor",
    "read_cursor",
    "unpack_cursor",
    "write_cursor",
]

S = TypeVar("S", bound=Session)
T = TypeVar("T")

_READABLE: Final = tuple(status for status in Status if status not in GONE)
_MOST_STATUSES: Final = 100
_SCAN: Final = 500
"""Index entries that one script looks at, unless it is late before, however few of them match."""
_RECORDS: Final = 100
"""At most so many in one script: each is copied through Lua, and others wait meanwhile."""
_END_OF_TIME_MS: Final = 253_402_300_799_999  # datetime.max


@dataclass(frozen=True)
class Page(Generic[S]):
    """Some of the sessions that a list found, newest first. `cursor` continues it; None: there are no more."""

    sessions: tuple[S, ...]
    cursor: str | None = None
    damaged: tuple[SessionCorrupt, ...] = ()
    """What the list met and could not read; one damaged record does not hide the others."""


@dataclass(frozen=True)
class Filters:
    """What a list was asked for, checked."""

    tenant: str
    statuses: tuple[str, ...]
    kinds: tuple[str, ...]
    client_type: str
    oldest: int
    newest: int
    where: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Tells one query's cursors from another's."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def filters(
    context: Context,
    codec: Codec[Any],
    *,
    status: str | Iterable[str] | None,
    kind: str | None,
    owner: str | None,
    client_type: str | None,
    tag: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
    where: Mapping[str, Any] | None,
) -> Filters:
    """Check the filters of a list.

    Raises:
        InvalidInput: one of them cannot match anything, for it is malformed.
    """
    try:
        asked: Iterable[str] = _READABLE if status is None else (status,) if isinstance(status, str) else status
        asked = at_most(asked, _MOST_STATUSES, "status")
        if not all(isinstance(each, str) for each in asked):  # what an enum says of others may have no end
            raise ValueError("no text")  # noqa: TRY301
        statuses = tuple(sorted({str(Status(each)) for each in asked}))
    except (ValueError, TypeError):
        raise InvalidField("status", f"is one of {', '.join(Status)}") from None
    if not statuses:
        raise InvalidField("status", "an empty choice matches nothing")
    if kind is not None:
        kinds: tuple[str, ...] = (check_kind(kind),)
        if not issubclass(context.models.codec(kind).model, codec.model):
            raise InvalidField("kind", f"'{kind}' is not a kind of {codec.model.__name__}")
    elif codec.model is Session:
        kinds = ()
    else:
        kinds = context.models.kinds_of(codec.model)
    if where is not None and not isinstance(where, Mapping):
        raise InvalidInput(f"where is a mapping of indexed fields to values, not {type(where).__name__}")
    exact: dict[str, Any] = {**(where or {})}
    owner = context.own(owner)
    if owner is not None:
        exact["owner"] = owner
    if tag is not None:
        exact["tags"] = tag
    source = codec if kind is None else context.models.codec(kind)
    if client_type is not None:
        client_type = check_indexed("client_type", client_type, context.limits)
    return Filters(
        context.tenant, statuses, kinds, client_type or "",
        0 if created_after is None else _moment("created_after", created_after, up=True),
        _END_OF_TIME_MS if created_before is None else _moment("created_before", created_before),
        tuple(sorted(source.index_value(name, value, context.limits) for name, value in exact.items())),
    )  # fmt: skip


def moment_in_utc(name: str, moment: datetime) -> datetime:
    """An aware datetime in UTC: a plain one, whatever a subclass may have made of it.

    Raises:
        InvalidField: it is no aware datetime.
    """
    refused = InvalidField(name, "must be an aware datetime, from year 1 to 9999 in UTC")
    try:
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            each = moment.astimezone(UTC)
            return datetime(each.year, each.month, each.day, each.hour, each.minute, each.second, each.microsecond, UTC)
    except Exception:  # noqa: BLE001 - at the edges of time; and a time zone of the caller's may raise anything
        raise refused from None
    raise refused


def _moment(name: str, moment: datetime, *, up: bool = False) -> int:
    """In milliseconds; `up`: the first that is not before it."""
    in_utc = moment_in_utc(name, moment)
    return min(ms_from(in_utc) + (up and in_utc.microsecond % 1000 > 0), _END_OF_TIME_MS)


def pack_cursor(digest: str, *place: int | str) -> str:
    """Where a list left off, opaque."""
    raw = json.dumps([digest, *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def unpack_cursor(cursor: str, digest: str, check: Callable[..., T]) -> T:
    """What `check` makes of the place that `pack_cursor` was given for the same query; ValueError: it is none.

    Raises:
        InvalidCursor: the cursor is damaged, or comes from another query.
    """
    try:
        if not isinstance(cursor, str) or len(cursor) > 200:
            raise ValueError("not of a cursor's size")  # noqa: TRY301
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        theirs, *packed = json.loads(raw)
        place = check(*packed)
    except (ValueError, TypeError, binascii.Error, RecursionError, SojournError):
        raise InvalidCursor("the cursor is damaged: start the list again without one") from None
    if theirs != digest:
        raise InvalidCursor("the cursor comes from another query: pass the same filters that it was given out for")
    return place


def write_cursor(digest: str, created_ms: int, session_id: str) -> str:
    """Where a list of sessions left off, opaque."""
    return pack_cursor(digest, created_ms, session_id)


def read_cursor(cursor: str, digest: str) -> tuple[int, str]:
    """What `write_cursor` wrote for the same query.

    Raises:
        InvalidCursor: it is damaged, or comes from another query.
    """
    return unpack_cursor(cursor, digest, _check_place)


def _check_place(created_ms: int, session_id: str) -> tuple[int, str]:
    if type(created_ms) is not int or not 0 <= created_ms <= _END_OF_TIME_MS:
        raise ValueError("not a moment")
    return created_ms, check_id(session_id)


@dataclass(frozen=True)
class _Step:
    """What one call of the script found."""

    found: int
    last_ms: int
    last_id: str
    complete: bool
    records: list[tuple[str, list[str]]]
    """Each with its id."""


def _step(
    context: Context, wanted: Filters, after: tuple[int, str] | None, limit: int, reply: str, *, counts: bool
) -> Operation[_Step]:
    """`counts`: whether it counts against a rate."""
    newest, last_id = after or (wanted.newest, "")
    keys = context.keys
    args: list[Argument] = [
        keys.partition.prefix, context.tenant, ",".join(wanted.statuses), ",".join(wanted.kinds), wanted.client_type,
        newest, wanted.oldest, last_id, limit, _SCAN, reply, int(counts),
    ]  # fmt: skip
    for pair in wanted.where:
        args += pair

    def parse(reply: Any) -> _Step:
        raise_for(reply, "-", context.tenant)
        found, last_ms, last, complete, page = reply
        each = iter(page)
        return _Step(found, int(last_ms), last, bool(complete), list(zip(each, each, strict=True)))

    return call("list_sessions", [keys.kinds], args, parse, alone=True)


def list_flow(
    context: Context,
    codec: Codec[S],
    wanted: Filters,
    predicate: Callable[[S], bool] | None,
    limit: int,
    cursor: str | None,
) -> Generator[Operation[_Step], _Step, Page[S]]:
    """Call the script until a page is full or there is no more.

    Raises:
        InvalidInput: the limit, the predicate or the cursor is no good.
    """
    if type(limit) is not int or not 1 <= limit <= context.limits.batch:
        raise InvalidInput(f"a page holds 1 to {context.limits.batch} sessions")
    if predicate is not None and not callable(predicate):
        raise InvalidInput(f"a predicate is a function, not {type(predicate).__name__}")
    after = None if cursor is None else read_cursor(cursor, wanted.digest)
    page: list[S] = []
    damaged: list[SessionCorrupt] = []
    counts = True
    while True:
        step = yield _step(context, wanted, after, min(limit - len(page), _RECORDS), "records", counts=counts)
        counts = False
        for session_id, record in step.records:
            try:
                session = decode_record(context, codec.model, record, session_id)
            except SessionCorrupt as error:
                damaged.append(error)
                continue
            except WrongOwner:  # its entry in the index was by other hands
                continue
            if predicate is None or predicate(session):
                page.append(session)
        after = (step.last_ms, step.last_id)
        if step.complete:
            return Page(tuple(page), None, tuple(damaged))
        if len(page) >= limit:
            return Page(tuple(page), write_cursor(wanted.digest, *after), tuple(damaged))


def ids_flow(
    context: Context, wanted: Filters, limit: int, after: tuple[int, str] | None
) -> Generator[Operation[_Step], _Step, tuple[list[str], tuple[int, str] | None]]:
    """Ids of up to `limit` sessions behind a place in the list, and the next place; for housekeeping. None: the end."""
    step = yield _step(context, wanted, after, limit, "ids", counts=False)
    return [each for each, _ in step.records], None if step.complete else (step.last_ms, step.last_id)


def count_flow(context: Context, wanted: Filters) -> Generator[Operation[_Step], _Step, int]:
    """Count what a list would find, without reading any record."""
    total, after = 0, None
    while True:
        step: _Step = yield _step(context, wanted, after, _SCAN, "count", counts=after is None)
        total += step.found
        after = (step.last_ms, step.last_id)
        if step.complete:
            return total
