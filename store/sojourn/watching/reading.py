"""The operations that read many outboxes from where one left off, waiting for what comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ResponseError

from sojourn.events import Event
from sojourn.keys import FIRST_ISOLATED, ISOLATED, LAST_ISOLATED, Homes, PartitionKeys, is_partition
from sojourn.operations.core import Command, Operation, is_of_another_type, pairs, raise_for, together
from sojourn.operations.homes import find_home, homes
from sojourn.operations.record import now_ms

__all__ = [
    "Outbox",
    "Places",
    "Position",
    "before",
    "clock",
    "confined_places",
    "outboxes",
    "owners",
    "places",
    "position",
    "read_after",
]

Position = tuple[int, int]
"""Milliseconds and sequence of an entry: everything after it is still to be read."""
_AHEAD: Final = 8
"""So many partitions are listened to before they are given out: else the first events of a tenant that gets one would
come late."""
_LAST_SEQUENCE: Final = 2**64 - 1


def position(stream_id: str) -> Position:
    """An entry's id as numbers, which compare as Redis orders them.

    Example:
        >>> position("1750000000000-3")
        (1750000000000, 3)
    """
    at_ms, _, sequence = stream_id.partition("-")
    return int(at_ms), int(sequence)


def before(at_ms: int) -> Position:
    """Right before the first entry of that millisecond."""
    return (at_ms - 1, _LAST_SEQUENCE) if at_ms > 0 else (0, 0)


@dataclass(frozen=True)
class Places:
    """Where to listen, and whose events may be told there."""

    homes: Homes
    partitions: tuple[PartitionKeys, ...]
    ahead: tuple[PartitionKeys, ...] = ()
    """Partitions that nobody has yet."""

    @property
    def all(self) -> tuple[PartitionKeys, ...]:
        """All of them."""
        return self.partitions + self.ahead


def places(shared: int, tenant: str | None) -> Operation[Places]:
    """All partitions, or those of one tenant, and the next ones to be given out. `shared`: how many are shared."""

    def parse_last(replies: list[Any]) -> int:
        raise_for(replies[0], "-", "-")
        text = replies[0] or ""
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0

    found = together(homes(shared), Operation((("HGET", ISOLATED, LAST_ISOLATED),), parse_last))

    def parse(replies: list[Any]) -> Places:
        known, last = found.parse(replies)
        first = max(FIRST_ISOLATED, last + 1, *(number + 1 for number in known.isolated.values()))
        ahead = tuple(PartitionKeys(each) for each in range(first, first + _AHEAD) if is_partition(each, shared))
        if tenant is None:
            return Places(known, known.partitions, ahead)
        own = tuple(each.partition for each in known.places(tenant))
        return Places(known, own, () if tenant in known.isolated else ahead)

    return Operation(found.commands, parse)


def confined_places(shared: int, tenant: str) -> Operation[Places]:
    """The same for a login that is confined to a tenant: its own partition, and no other."""
    home = find_home(tenant, shared)

    def parse(replies: list[Any]) -> Places:
        own = home.parse(replies).keys.partition
        return Places(Homes(shared, {tenant: own.number} if own.is_isolated else {}), (own,))

    return Operation(home.commands, parse)


def read_after(
    positions: Mapping[PartitionKeys, Position], count: int, block_ms: int
) -> Operation[list[tuple[PartitionKeys, Position, Event]]]:
    """The next entries of each outbox, up to `count` of each; waits so long for the first."""
    streams = {each.events: each for each in positions}
    ids = [f"{at_ms}-{sequence}" for at_ms, sequence in positions.values()]

    def parse(replies: list[Any]) -> list[tuple[PartitionKeys, Position, Event]]:
        raise_for(replies[0], "-", "-")
        return [
            (streams[name], position(entry), Event.from_stream(streams[name].number, entry, pairs(fields)))
            for name, entries in replies[0] or []
            for entry, fields in entries
        ]

    command: Command = ("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", *streams, *ids)
    return Operation((command,), parse, alone=True)


@dataclass(frozen=True)
class Outbox:
    """What an outbox tells of itself."""

    is_stream: bool = True
    """Whether it is one, or not there yet."""
    last: Position = (0, 0)
    """The last id that was given out."""
    first: Position | None = None
    """The first entry that is there."""
    length: int = 0
    added: int | None = 0
    """How many entries there ever were; None: this Redis does not tell (before 7.0)."""
    groups: int = 0

    def missed(self, here: Position, added: int | None, cap: int) -> int | None:
        """How many entries after that one are gone unread; None: perhaps some.

        Args:
            here: the entry that was read last.
            added: how many there ever were when it was the last one; None where nobody knows.
            cap: how many stay where no group reads them.

        Example:
            >>> Outbox(last=(9, 0), first=(8, 0), length=2, added=7).missed((5, 0), 4, 100)
            1
        """
        if self.last <= here or (self.first is not None and self.first <= here):
            return 0
        if self.added is None and not self.groups and 0 < self.length < cap:
            return 0  # nobody has trimmed it
        if self.added is None or added is None:
            return 0 if self.added == self.length else None
        return max(0, self.added - added - self.length)

    def added_before(self, here: Position) -> int | None:
        """How many entries there ever were up to that one, of which all later ones are there; None: nobody knows."""
        if self.added is None or self.last <= here:
            return self.added
        return self.added - self.length if self.first is None or self.first > here else None


def outboxes(partitions: Sequence[PartitionKeys]) -> Operation[dict[PartitionKeys, Outbox]]:
    """What the outboxes tell of themselves; one that is not there is empty."""

    def parse(replies: list[Any]) -> dict[PartitionKeys, Outbox]:
        return {each: _outbox(reply) for each, reply in zip(partitions, replies, strict=True)}

    return Operation(tuple(("XINFO", "STREAM", each.events) for each in partitions), parse)


def _outbox(reply: Any) -> Outbox:
    if is_of_another_type(reply):
        return Outbox(is_stream=False)
    if isinstance(reply, ResponseError) and "no such key" in str(reply):
        return Outbox()
    raise_for(reply, "-", "-")
    told: dict[str, Any] = pairs(reply)
    first = told.get("first-entry")
    return Outbox(
        last=position(told["last-generated-id"]),
        first=position(first[0]) if first else None,
        length=int(told["length"]),
        added=told.get("entries-added"),
        groups=int(told["groups"]),
    )


def owners(known: Homes, sessions: Sequence[tuple[str, str]]) -> Operation[dict[tuple[str, str], str]]:
    """The owners of sessions by tenant and id; those that are gone, or nobody's, are left out."""

    def parse(replies: list[Any]) -> dict[tuple[str, str], str]:
        return {each: reply for each, reply in zip(sessions, replies, strict=True) if isinstance(reply, str)}

    return Operation(tuple(("HGET", known.of(tenant).session(own), "owner") for tenant, own in sessions), parse)


def clock() -> Operation[int]:
    """Redis's time in milliseconds."""

    def parse(replies: list[Any]) -> int:
        raise_for(replies[0], "-", "-")
        return now_ms(replies[0])

    return Operation((("TIME",),), parse)
