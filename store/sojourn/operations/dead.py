"""Dead letters: events that a hook was given up on. Burying, reviving and dropping them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal

from sojourn.codec import datetime_from, ms_from
from sojourn.events import Event
from sojourn.keys import PartitionKeys, parse_event_id
from sojourn.operations.core import Operation, call, raise_for

__all__ = ["UNREADABLE", "Burial", "DeadLetter", "Place", "Position", "Revival", "bury", "drop", "revive"]

UNREADABLE: Final = "unreadable-"
"""How the ids of what is no event begin. It is kept in partition 0."""
Revival = Literal["revived", "done", "none"]
Position = tuple[int, int, int, str]
"""Milliseconds and sequence of the entry, partition, hook: the order of all dead letters."""


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

    @classmethod
    def from_stream(cls, place: Place, entry: str, fields: Mapping[str, str]) -> DeadLetter:
        """From an entry of a stream, which other hands may have written."""
        return cls(
            place=place,
            entry=entry,
            event_id=fields.get("id", ""),
            text=fields.get("event", ""),
            tries=_integer(fields.get("tries", "")),
            reason=fields.get("reason", ""),
            at=datetime_from(_integer(fields.get("at_ms", ""))),
        )

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


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a number of JSON")
    return number


def _integer(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 15 else 0
