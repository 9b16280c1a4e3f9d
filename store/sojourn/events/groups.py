"""Consumer groups of the outboxes: what they are called, and the operations that read events through them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from redis.exceptions import ResponseError

from sojourn.errors import InvalidName
from sojourn.events.event import Event
from sojourn.keys import PartitionKeys
from sojourn.operations.core import Command, Context, Operation, pairs, raise_for

__all__ = [
    "ARCHIVE_GROUP",
    "Start",
    "Taken",
    "acknowledge",
    "count_pending",
    "dispatch_group",
    "forget_group",
    "group_name",
    "hand_back",
    "join_group",
    "read_new",
    "read_pending",
    "take_over",
    "tenant_group",
    "without_entry",
]

Start = Literal["oldest", "new"]
Taken = list[tuple[PartitionKeys, Event]]
ARCHIVE_GROUP: Final = "sojourn-archive"
"""The group in each outbox that brings events to the archive."""
_GROUP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def dispatch_group(queue_prefix: str) -> str:
    """The group in each outbox that brings events to the hooks of one deployment, which `queue_prefix` names.

    Example:
        >>> dispatch_group("sojourn")
        'sojourn-dispatch-sojourn'
    """
    return f"sojourn-dispatch-{queue_prefix}"


def tenant_group(context: Context, group: str) -> str:
    """A user's group, kept apart from other tenants' in the partition that they share.

    Raises:
        InvalidName: not a group's name.
    """
    return group_name(context.tenant, group)


def group_name(tenant: str, group: str) -> str:
    """The same of any tenant: as Redis and `Metrics.groups` have it.

    Raises:
        InvalidName: not a group's name.

    Example:
        >>> group_name("acme", "billing")
        'acme:billing'
    """
    if not isinstance(group, str) or not _GROUP.fullmatch(group):
        raise InvalidName(f"a group's name matches {_GROUP.pattern}")
    return f"{tenant}:{str.__str__(group)}"


def join_group(partitions: Iterable[PartitionKeys], group: str, start: Start) -> Operation[None]:
    """Make sure that a group exists in each partition; one that exists keeps its place."""
    first = "0" if start == "oldest" else "$"

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            if not (isinstance(reply, ResponseError) and "BUSYGROUP" in str(reply)):
                raise_for(reply, "-", "-")

    commands = tuple(("XGROUP", "CREATE", each.events, group, first, "MKSTREAM") for each in partitions)
    return Operation(commands, parse)


def forget_group(partition: PartitionKeys, group: str) -> Operation[bool]:
    """Remove a group; whether there was one."""

    def parse(replies: list[Any]) -> bool:
        if isinstance(replies[0], ResponseError) and "requires the key to exist" in str(replies[0]):
            return False
        raise_for(replies[0], "-", "-")
        return bool(replies[0])

    return Operation((("XGROUP", "DESTROY", partition.events, group),), parse)


def count_pending(partition: PartitionKeys, group: str) -> Operation[int | None]:
    """How many events a group has to acknowledge there; None where there is none, or where that may not be asked."""

    def parse(replies: list[Any]) -> int | None:
        groups = [] if isinstance(replies[0], ResponseError) else map(pairs, replies[0])
        return next((int(each["pending"]) for each in groups if each["name"] == group), None)

    return Operation((("XINFO", "GROUPS", partition.events),), parse)


def read_new(
    partitions: Sequence[PartitionKeys], group: str, consumer: str, count: int, block_s: float
) -> Operation[list[tuple[PartitionKeys, Event]]]:
    """Events that nobody in the group has got yet; waits up to `block_s` for the first."""
    streams = {each.events: each for each in partitions}

    def parse(replies: list[Any]) -> list[tuple[PartitionKeys, Event]]:
        raise_for(replies[0], "-", "-")
        return [
            (streams[name], Event.from_stream(streams[name].number, stream_id, pairs(fields)))
            for name, entries in replies[0] or []
            for stream_id, fields in entries
            if fields is not None
        ]

    command: Command = (
        "XREADGROUP", "GROUP", group, consumer, "COUNT", count, "BLOCK", max(1, int(block_s * 1000)),
        "STREAMS", *streams, *[">"] * len(streams),
    )  # fmt: skip
    return Operation((command,), parse, alone=True)


def read_pending(
    partitions: Sequence[PartitionKeys], group: str, consumer: str, count: int
) -> Operation[tuple[Taken, list[tuple[PartitionKeys, str]]]]:
    """What this consumer got and never acknowledged: events, and ids of those that are gone from the outbox.

    Nobody else will acknowledge the latter, and Redis 6.2 keeps them pending: see `without_entry`.
    """
    streams = {each.events: each for each in partitions}

    def parse(replies: list[Any]) -> tuple[Taken, list[tuple[PartitionKeys, str]]]:
        raise_for(replies[0], "-", "-")
        held: Taken = []
        gone: list[tuple[PartitionKeys, str]] = []
        for name, entries in replies[0] or []:
            for stream_id, fields in entries:
                if fields is None:
                    gone.append((streams[name], stream_id))
                else:
                    held.append((streams[name], Event.from_stream(streams[name].number, stream_id, pairs(fields))))
        return held, gone

    command: Command = (
        "XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", *streams, *["0"] * len(streams),
    )  # fmt: skip
    return Operation((command,), parse, alone=True)


def without_entry(gone: Sequence[tuple[PartitionKeys, str]], group: str) -> Operation[None]:
    """Acknowledge what `read_pending` found gone: as long as it is pending, nothing after it is trimmed."""

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            raise_for(reply, "-", "-")

    return Operation(tuple(("XACK", each.events, group, stream_id) for each, stream_id in gone), parse)


def take_over(
    partitions: Sequence[PartitionKeys], group: str, consumer: str, idle_s: float, count: int
) -> Operation[list[tuple[PartitionKeys, Event]]]:
    """Events that another consumer got more than `idle_s` ago and never acknowledged."""

    def parse(replies: list[Any]) -> list[tuple[PartitionKeys, Event]]:
        found = []
        for partition, reply in zip(partitions, replies, strict=True):
            raise_for(reply, "-", "-")
            found += [
                (partition, Event.from_stream(partition.number, entry[0], pairs(entry[1])))
                for entry in reply[1]
                # Redis 6.2 tells those that are gone as nothing; `read_pending` then knows their ids.
                if entry is not None and entry[1] is not None
            ]
        return found

    idle_ms = max(1, int(idle_s * 1000))
    commands = tuple(
        ("XAUTOCLAIM", each.events, group, consumer, idle_ms, "0-0", "COUNT", count) for each in partitions
    )
    return Operation(commands, parse)


def acknowledge(taken: Sequence[tuple[PartitionKeys, Event]], group: str) -> Operation[None]:
    """The group is done with these events."""
    return Operation(tuple(("XACK", stream, group, *ids) for stream, ids in _by_stream(taken)), _check)


def hand_back(taken: Taken, group: str, consumer: str) -> Operation[None]:
    """Let the next one who looks take these over at once, as if they had been waiting for a day."""
    idle = ("IDLE", 86_400_000, "JUSTID")
    commands: list[Command] = [("XCLAIM", stream, group, consumer, 0, *ids, *idle) for stream, ids in _by_stream(taken)]
    return Operation(tuple(commands), _check)


def _by_stream(taken: Iterable[tuple[PartitionKeys, Event]]) -> Iterable[tuple[str, list[str]]]:
    """The ids of entries, by the stream that they are in."""
    ids: dict[str, list[str]] = {}
    for partition, event in taken:
        ids.setdefault(partition.events, []).append(event.id.partition("-")[2])
    return ids.items()


def _check(replies: list[Any]) -> None:
    for reply in replies:
        raise_for(reply, "-", "-")
