"""Looking at a tenant's events where they are, without taking them from anybody."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, Literal

from sojourn.errors import InvalidCursor, InvalidInput
from sojourn.events import Event
from sojourn.operations.core import Argument, Context, Operation, pairs, raise_for

__all__ = ["LONGEST_PAGE", "EventPage", "From", "peek_flow"]

From = Literal["oldest", "recent", "new"]
_CURSOR: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
LONGEST_PAGE: Final = 10_000
"""Events on one page at most."""
_PAGE: Final = 500
_FIRST: Final = "0-0"

Entry = tuple[str, Event]


@dataclass(frozen=True)
class EventPage:
    """Some events, oldest first. `cursor` goes on after them, whether or not there is more yet."""

    events: tuple[Event, ...]
    cursor: str


def _range(context: Context, command: str, first: str, last: str, count: int) -> Operation[list[Entry]]:
    partition = context.keys.partition

    def parse(replies: list[Any]) -> list[Entry]:
        raise_for(replies[0], "-", "-")
        return [(each, Event.from_stream(partition.number, each, pairs(fields))) for each, fields in replies[0]]

    arguments: tuple[Argument, ...] = (command, partition.events, first, last, "COUNT", count)
    return Operation((arguments,), parse, alone=True)


def peek_flow(
    context: Context, start: From, cursor: str | None, limit: int
) -> Generator[Operation[list[Entry]], list[Entry], EventPage]:
    """Read until `limit` of the tenant's events are found, or there are no more.

    Raises:
        InvalidCursor: not one that a page gave out.
        InvalidInput: the start or the limit is no good.
    """
    if type(limit) is not int or not 1 <= limit <= LONGEST_PAGE:
        raise InvalidInput(f"a page holds 1 to {LONGEST_PAGE} events")
    if not isinstance(start, str) or start not in ("oldest", "recent", "new"):
        raise InvalidInput("start is 'oldest', 'recent' or 'new'")
    if cursor is not None and not _is_cursor(cursor):
        raise InvalidCursor("the cursor is damaged: start again without one")
    if cursor is None and start == "new":
        newest = yield _range(context, "XREVRANGE", "+", "-", 1)
        return EventPage((), newest[0][0] if newest else _FIRST)
    found: list[Event] = []
    if cursor is None and start == "recent":
        until, newest_id = "+", _FIRST
        while len(found) < limit:
            page = yield _range(context, "XREVRANGE", until, "-", _PAGE)
            if page and until == "+":
                newest_id = page[0][0]
            found += [event for _, event in page if event.tenant == context.tenant]
            if len(page) < _PAGE:
                break
            until = f"({page[-1][0]}"
        return EventPage(tuple(found[:limit][::-1]), newest_id)
    after = cursor or _FIRST
    while True:
        page = yield _range(context, "XRANGE", f"({after}", "+", _PAGE)
        for stream_id, event in page:
            after = stream_id
            if event.tenant == context.tenant:
                found.append(event)
                if len(found) == limit:
                    return EventPage(tuple(found), after)
        if len(page) < _PAGE:
            return EventPage(tuple(found), after)


def _is_cursor(cursor: object) -> bool:
    """Whether Redis takes it for a stream's id: two numbers of 64 bits."""
    if not isinstance(cursor, str) or not _CURSOR.fullmatch(cursor):
        return False
    return all(int(number) < 2**64 for number in cursor.split("-"))
