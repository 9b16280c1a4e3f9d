"""Reading dead letters of several places: page by page, in the order of time, or by their ids."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sojourn.errors import InvalidCursor, InvalidId, InvalidInput, StoreError
from sojourn.hook_names import HOOK, counted_hook, hook_scope
from sojourn.keys import PartitionKeys, is_partition
from sojourn.operations.core import Command, Operation, is_of_another_type, pairs, raise_for
from sojourn.operations.dead import UNREADABLE, DeadLetter, Place, Position

__all__ = ["LONGEST_PAGE", "DeadPage", "find_flow", "hooks", "page_flow"]

LONGEST_PAGE: Final = 1_000
_LETTER: Final = re.compile(
    rf"({HOOK.pattern})/(([0-9]{{2,6}})-[0-9]{{1,20}}-[0-9]{{1,20}}|{UNREADABLE}[0-9a-f]{{16}})"
)
_CURSOR: Final = re.compile(rf"([0-9]{{1,20}})-([0-9]{{1,20}})/([0-9]{{1,6}})/({HOOK.pattern})")
_AT_ONCE: Final = 100


@dataclass(frozen=True)
class DeadPage:
    """Some dead letters. `cursor` goes on after them; None: there are no more."""

    letters: tuple[DeadLetter, ...]
    cursor: str | None = None


def hooks(partitions: Sequence[PartitionKeys], queue_prefix: str) -> Operation[list[str]]:
    """The hooks that ever had a dead letter, also those that the settings no longer name."""

    def parse(replies: list[Any]) -> list[str]:
        found: set[str | None] = set()
        for partition, reply in zip(partitions, replies, strict=True):
            _check(reply, partition.counts)
            found |= {counted_hook(queue_prefix, name) for name in reply}
        return sorted(filter(None, found))

    return Operation(tuple(("HKEYS", each.counts) for each in partitions), parse)


def page_flow(
    places: Sequence[Place],
    *,
    limit: int,
    cursor: str | None = None,
    newest_first: bool = True,
    tenant: str | None = None,
    until_ms: int | None = None,
) -> Generator[Operation[tuple[list[DeadLetter], bool]], tuple[list[DeadLetter], bool], DeadPage]:
    """Read one page of the dead letters in several places, merged by the time at which they were given up.

    Args:
        places: where to look.
        limit: how many at most, 1 to 1,000.
        cursor: where the page before left off.
        newest_first: the order.
        tenant: only this tenant's.
        until_ms: only those given up by then.

    Raises:
        InvalidCursor: not one that a page gave out.
        InvalidInput: the limit is no good.
    """
    if type(limit) is not int or not 1 <= limit <= LONGEST_PAGE:
        raise InvalidInput(f"a page holds 1 to {LONGEST_PAGE} dead letters")
    after = None if cursor is None else _read_cursor(cursor)
    found: list[DeadLetter] = []
    while places:
        letters, complete = yield _next(places, after, newest_first=newest_first, until_ms=until_ms)
        for number, letter in enumerate(letters, start=1):
            after = letter.position
            if tenant is None or letter.is_of(tenant):
                found.append(letter)
            if len(found) == limit:
                over = complete and number == len(letters)
                return DeadPage(tuple(found), None if over else _write_cursor(after))
        if complete:
            break
    return DeadPage(tuple(found))


def find_flow(
    letter_id: str, queue_prefix: str, shared: int
) -> Generator[Operation[tuple[list[DeadLetter], bool]], tuple[list[DeadLetter], bool], list[DeadLetter]]:
    """Read the dead letters of one id: none, one, or two where the event was given up again while it was replayed.

    Raises:
        InvalidId: not a dead letter's id.
    """
    match = _LETTER.fullmatch(letter_id)
    if match is None:
        raise InvalidId(f"{letter_id!r:.120} is not a dead letter's id, as `sojourn dead list` prints them")
    hook, event_id, number = match[1], match[2], int(match[3] or 0)
    if not is_partition(number, shared):
        return []
    place = Place(PartitionKeys(number), hook, hook_scope(queue_prefix, hook))
    found: list[DeadLetter] = []
    after: Position | None = None
    while True:
        letters, complete = yield _next([place], after, newest_first=False, until_ms=None)
        found += [each for each in letters if each.event_id == event_id]
        if complete:
            return found
        after = letters[-1].position


def _next(
    places: Sequence[Place], after: Position | None, *, newest_first: bool, until_ms: int | None
) -> Operation[tuple[list[DeadLetter], bool]]:
    """The next letters in order, and whether they are the last. Each place gives enough to fill the page alone."""
    low, high = "-", "+" if until_ms is None else str(until_ms)
    if after is not None:
        edge = f"{after[0]}-{after[1]}"
        low, high = (low, edge) if newest_first else (edge, high)
    bounds = ("XREVRANGE", high, low) if newest_first else ("XRANGE", low, high)
    commands: list[Command] = [
        (bounds[0], place.stream, bounds[1], bounds[2], "COUNT", _AT_ONCE + 1) for place in places
    ]

    def parse(replies: list[Any]) -> tuple[list[DeadLetter], bool]:
        letters: list[DeadLetter] = []
        complete = True
        for place, reply in zip(places, replies, strict=True):
            _check(reply, place.stream)
            complete = complete and len(reply) <= _AT_ONCE
            letters += [DeadLetter.from_stream(place, entry, pairs(fields)) for entry, fields in reply]
        if after is not None:  # the place where the last letter was gives it again
            letters = [e for e in letters if (e.position < after if newest_first else e.position > after)]
        letters.sort(key=lambda each: each.position, reverse=newest_first)
        return letters[:_AT_ONCE], complete and len(letters) <= _AT_ONCE

    return Operation(tuple(commands), parse)


def _check(reply: Any, key: str) -> None:
    if is_of_another_type(reply):
        raise StoreError(f"the key {key} is not of the type that it should be: other hands wrote it")
    raise_for(reply, "-", "-")


def _write_cursor(after: Position) -> str:
    return "{}-{}/{}/{}".format(*after)


def _read_cursor(cursor: str) -> Position:
    match = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if match is None:
        raise InvalidCursor("the cursor is damaged: start again without one")
    return int(match[1]), int(match[2]), int(match[3]), match[4]
