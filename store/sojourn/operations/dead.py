"""Dead letters: events that a hook was given up on. Burying, reading, reviving and dropping them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal

from sojourn.codec import datetime_from, ms_from
from sojourn.errors import InvalidCursor, InvalidId, InvalidInput, InvalidName, StoreError
from sojourn.events import Event
from sojourn.keys import PartitionKeys, is_partition, parse_event_id
from sojourn.operations.core import Command, Operation, call, is_of_another_type, pairs, raise_for

__all__ = [
    "LONGEST_PAGE",
    "UNREADABLE",
    "Burial",
    "DeadLetter",
    "DeadPage",
    "Place",
    "Revival",
    "bury",
    "check_hook",
    "counted_hook",
    "drop",
    "find_flow",
    "hook_scope",
    "hooks",
    "page_flow",
    "revive",
]

UNREADABLE: Final = "unreadable-"
"""How the ids of what is no event begin. It is kept in partition 0."""
LONGEST_PAGE: Final = 1_000
_HOOK: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_LETTER: Final = re.compile(
    rf"({_HOOK.pattern})/(([0-9]{{2,6}})-[0-9]{{1,20}}-[0-9]{{1,20}}|{UNREADABLE}[0-9a-f]{{16}})"
)
_CURSOR: Final = re.compile(rf"([0-9]{{1,20}})-([0-9]{{1,20}})/([0-9]{{1,6}})/({_HOOK.pattern})")
_COUNTED: Final = "dead_letters:"
_AT_ONCE: Final = 100

Revival = Literal["revived", "done", "none"]
Position = tuple[int, int, int, str]
"""Milliseconds and sequence of the entry, partition, hook: the order of all dead letters."""


def check_hook(name: str) -> str:
    """Return `name` if a hook may be called so.

    Raises:
        InvalidName: it may not.
    """
    if not isinstance(name, str) or not _HOOK.fullmatch(name):
        shown = repr(str.__str__(name)[:80]) if isinstance(name, str) else f"<{type(name).__name__}>"
        raise InvalidName(f"hook name {shown} does not match {_HOOK.pattern}")
    return str.__str__(name)


def hook_scope(queue_prefix: str, hook: str) -> str:
    """Names a hook in keys. Deployments on one Redis may use one name for two hooks.

    Example:
        >>> hook_scope("sojourn", "mail")
        'sojourn.mail'
    """
    return f"{queue_prefix}.{hook}"


def counted_hook(queue_prefix: str, count: str) -> str | None:
    """The hook of whose dead letters this is the count; None for other counts, also those of other deployments.

    Example:
        >>> counted_hook("sojourn", "dead_letters:sojourn.mail"), counted_hook("sojourn", "dead_letters:staging.mail")
        ('mail', None)
    """
    before = _COUNTED + hook_scope(queue_prefix, "")
    hook = count.removeprefix(before)
    return hook if count.startswith(before) and _HOOK.fullmatch(hook) else None


@dataclass(frozen=True)
class Place:
    """Where the dead letters of one hook are in one partition."""

    partition: PartitionKeys
    hook: str
    scope: str

    @cached_property
    def stream(self) -> str:
        """The stream."""
        return self.partition.dead(self.scope)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a hook was given up on."""

    place: Place
    entry: str
    """Its id in the stream."""
    event_id: str
    text: str
    """The event as JSON; the beginning of it where it cannot be read."""
    tries: int
    reason: str
    at: datetime
    """When it was given up."""

    @property
    def id(self) -> str:
        """``<hook>/<event id>``, by which it is found again."""
        return f"{self.place.hook}/{self.event_id}"

    @property
    def hook(self) -> str:
        """The hook's name."""
        return self.place.hook

    @property
    def event(self) -> Event | None:
        """The event; None if it cannot be read, holds numbers that are not JSON's, or is of another partition."""
        try:
            event = Event.from_json(json.loads(self.text, parse_constant=_finite, parse_float=_finite))
            number, _ = parse_event_id(event.id)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None
        return event if number == self.place.partition.number and event.id == self.event_id else None

    def is_of(self, tenant: str) -> bool:
        """Whether its event is that tenant's."""
        event = self.event
        return event is not None and event.tenant == tenant

    @property
    def position(self) -> Position:
        """Its place in the order of all."""
        ms, _, sequence = self.entry.partition("-")
        return int(ms), int(sequence), self.place.partition.number, self.place.hook

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `event` is text where it cannot be read."""
        event = self.event
        return {
            "id": self.id, "hook": self.hook, "event_id": self.event_id, "tries": self.tries, "reason": self.reason,
            "at_ms": ms_from(self.at), "event": self.text if event is None else event.to_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class DeadPage:
    """Some dead letters. `cursor` goes on after them; None: there are no more."""

    letters: tuple[DeadLetter, ...]
    cursor: str | None = None


@dataclass(frozen=True)
class Burial:
    """What came of burying an event: `buried`; `known`, as it was done or buried before; or `held` by a job."""

    outcome: Literal["buried", "known", "held"]
    holder: str = ""
    """The job that has it in hand."""


def bury(
    place: Place, event_id: str, text: str, *, job: str, tries: int, reason: str, keep_ms: int
) -> Operation[Burial]:
    """Put an event among the dead letters unless the hook is done with it, or another job has it in hand."""
    partition, scope = place.partition, place.scope

    def parse(reply: Any) -> Burial:
        raise_for(reply, "-", "-")
        outcome, told = reply
        return Burial(outcome, told if outcome == "held" else "")

    keys = [
        partition.ledger(scope), place.stream, partition.running(scope, event_id), partition.tries(scope, event_id),
        partition.counts,
    ]  # fmt: skip
    unreadable = int(event_id.startswith(UNREADABLE))
    args = (event_id, job, place.hook, scope, text, tries, reason, keep_ms, unreadable)
    return call("bury_event", keys, args, parse)


def revive(letter: DeadLetter) -> Operation[Revival]:
    """Let the hook run again on a dead letter's event; the outcome is told in a word (see the script)."""
    partition, scope = letter.place.partition, letter.place.scope

    def parse(reply: Any) -> Revival:
        raise_for(reply, "-", "-")
        return reply  # type: ignore[no-any-return]

    keys = [partition.ledger(scope), letter.place.stream, partition.tries(scope, letter.event_id)]
    return call("revive_event", keys, (letter.event_id, letter.entry), parse)


def drop(letters: Sequence[DeadLetter]) -> Operation[int]:
    """Take dead letters off the list; how many were still there. A hook never runs on their events any more."""
    entries: dict[str, list[str]] = {}
    for each in letters:
        entries.setdefault(each.place.stream, []).append(each.entry)

    def parse(replies: list[Any]) -> int:
        for reply in replies:
            raise_for(reply, "-", "-")
        return sum(replies)

    return Operation(tuple(("XDEL", stream, *each) for stream, each in entries.items()), parse)


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
            letters += [_letter(place, entry, pairs(fields)) for entry, fields in reply]
        if after is not None:  # the place where the last letter was gives it again
            letters = [e for e in letters if (e.position < after if newest_first else e.position > after)]
        letters.sort(key=lambda each: each.position, reverse=newest_first)
        return letters[:_AT_ONCE], complete and len(letters) <= _AT_ONCE

    return Operation(tuple(commands), parse)


def _letter(place: Place, entry: str, fields: dict[str, str]) -> DeadLetter:
    """An entry, which other hands may have written."""
    return DeadLetter(
        place=place,
        entry=entry,
        event_id=fields.get("id", ""),
        text=fields.get("event", ""),
        tries=_integer(fields.get("tries", "")),
        reason=fields.get("reason", ""),
        at=datetime_from(_integer(fields.get("at_ms", ""))),
    )


def _check(reply: Any, key: str) -> None:
    if is_of_another_type(reply):
        raise StoreError(f"the key {key} is not of the type that it should be: other hands wrote it")
    raise_for(reply, "-", "-")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a number of JSON")
    return number


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 15 else 0


def _write_cursor(after: Position) -> str:
    return "{}-{}/{}/{}".format(*after)


def _read_cursor(cursor: str) -> Position:
    match = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if match is None:
        raise InvalidCursor("the cursor is damaged: start again without one")
    return int(match[1]), int(match[2]), int(match[3]), match[4]
