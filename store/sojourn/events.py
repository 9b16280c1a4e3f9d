"""What happened to sessions: the events of the outbox, and reading them as a consumer group."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from redis.exceptions import ResponseError

from sojourn.codec import datetime_from, ms_from
from sojourn.errors import InvalidInput, InvalidName
from sojourn.keys import PartitionKeys
from sojourn.operations.core import Command, Context, Operation, pairs, raise_for
from sojourn.operations.homes import find_home

__all__ = [
    "ARCHIVE_GROUP",
    "Event",
    "Start",
    "acknowledge",
    "default_consumer",
    "dispatch_group",
    "event_flow",
    "forget_flow",
    "forget_group",
    "group_name",
    "join_group",
    "read_new",
    "read_pending",
    "take_over",
    "without_entry",
]

Start = Literal["oldest", "new"]
Taken = list[tuple[PartitionKeys, "Event"]]
ARCHIVE_GROUP: Final = "sojourn-archive"
"""The group in each outbox that brings events to the archive."""
_GROUP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_BATCH: Final = 100
_LONGEST_WAIT_S: Final = 1e12
_CONSUMER_LENGTH: Final = 256
_LOOK_S: Final = 1.0
"""So often, where there is nothing to read, it is asked whether the tenant has a partition of its own by now."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one session. `id` is the same whenever the event is delivered again."""

    id: str
    type: str
    """``created``, ``updated``, ``touched``, ``ended``, ``expired``, ``deleted``; ``rotated`` to another id, once for
    the old id and once for the new one; ``restored`` to an earlier state, or ``rehydrated``: put back as archived;
    ``lost`` where the record was gone though nobody had removed it, ``damaged`` where it could not be read at its
    deadline.
    ``token_issued``, ``token_refreshed``, ``token_revoked``, ``token_reused``: of the session's tokens. ``limited``: a
    limit refused something, told once a minute; ``administered``: a command of an operator. These two may be about no
    session; then `session_id` is empty."""
    tenant: str
    session_id: str
    kind: str
    version: int
    """The session's version after it."""
    at: datetime
    actor: str
    trace_id: str
    changes: Mapping[str, Any]
    """The changed fields as they are stored: times in milliseconds under a name that ends in ``_ms``."""
    before: Mapping[str, str | None] | None = None
    """What the record's hash held in those of them that changed, None for nothing; None as a whole: not known."""

    @classmethod
    def from_stream(cls, partition: int, stream_id: str, fields: Mapping[str, str]) -> Event:
        """From an entry of a partition's stream. A field that another program left out reads as empty."""
        return cls(
            id=f"{partition:02d}-{stream_id}",
            type=fields.get("type", ""),
            tenant=fields.get("tenant", ""),
            session_id=fields.get("id", ""),
            kind=fields.get("kind", ""),
            version=_integer(fields.get("version")),
            at=datetime_from(_integer(fields.get("at_ms"))),
            actor=fields.get("actor", ""),
            trace_id=fields.get("trace", ""),
            changes=_mapping(fields.get("changes", "")),
            before=_mapping(fields["before"]) if "before" in fields else None,
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values; times are milliseconds since the epoch."""
        return {
            "id": self.id, "type": self.type, "tenant": self.tenant, "session_id": self.session_id,
            "kind": self.kind, "version": self.version, "at_ms": ms_from(self.at), "actor": self.actor,
            "trace_id": self.trace_id, "changes": dict(self.changes),
            "before": None if self.before is None else dict(self.before),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        """What `to_json` wrote.

        Raises:
            InvalidInput: it did not.
        """
        try:
            rest = {name: value for name, value in data.items() if name != "at_ms"}
            made = cls(at=datetime_from(data["at_ms"]), **rest)
            texts = (made.id, made.type, made.tenant, made.session_id, made.kind, made.actor, made.trace_id)
            fits = (
                all(isinstance(each, str) for each in texts)
                and type(data["at_ms"]) is int
                and type(made.version) is int
                and isinstance(made.changes, Mapping)
                and isinstance(made.before, Mapping | None)
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            fits = False
        if not fits:
            raise InvalidInput("not an event: a field is missing, unknown, or of another type")
        return made


def _integer(text: str | None) -> int:
    """A number up to the last moment that a datetime can tell; 0 for anything else."""
    return int(text) if text and text.isdecimal() and len(text) < 15 else 0


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def dispatch_group(queue_prefix: str) -> str:
    """The group in each outbox that brings events to the hooks of one deployment, which `queue_prefix` names.

    Example:
        >>> dispatch_group("sojourn")
        'sojourn-dispatch-sojourn'
    """
    return f"sojourn-dispatch-{queue_prefix}"


def default_consumer() -> str:
    """Names this process among the consumers of a group."""
    return f"{socket.gethostname()}-{os.getpid()}"


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


def forget_flow(context: Context, group: str, shared: int) -> Generator[Operation[Any], Any, bool]:
    """Remove a tenant's group, wherever it is; whether there was one. `shared`: how many partitions are shared."""
    name = tenant_group(context, group)
    there: bool = yield forget_group(context.keys.partition, name)
    former = (yield find_home(context.tenant, shared)).former
    if former is not None and (yield _pending(former, name)) is not None:
        there |= yield forget_group(former, name)
    return there


def _pending(partition: PartitionKeys, group: str) -> Operation[int | None]:
    """How many events a group has to acknowledge there; None where there is none, or where that may not be asked."""

    def parse(replies: list[Any]) -> int | None:
        groups = [] if isinstance(replies[0], ResponseError) else map(pairs, replies[0])
        return next((int(each["pending"]) for each in groups if each["name"] == group), None)

    return Operation((("XINFO", "GROUPS", partition.events),), parse)


def _outboxes(
    tenant: str, shared: int, group: str, start: Start, before: Sequence[PartitionKeys]
) -> Generator[Operation[Any], Any, list[PartitionKeys]]:
    """Where the tenant's events are, with the group there: in the partition that it shared before, too, until drained.

    `before`: where they were, and where nothing is left to read now.
    """
    home = yield find_home(tenant, shared)
    own, former = home.keys.partition, home.former
    if own not in before:
        yield join_group([own], group, "oldest" if before else start)
    pending = None if former is None else (yield _pending(former, group))
    if pending is None:
        return [own]
    if former in before and not (home.moving or pending):
        yield forget_group(former, group)  # else it would keep others' events from being trimmed for ever
        return [own]
    return [own, former]


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
    ids: dict[str, list[str]] = {}
    for partition, event in taken:
        ids.setdefault(partition.events, []).append(event.id.partition("-")[2])

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            raise_for(reply, "-", "-")

    return Operation(tuple(("XACK", stream, group, *each) for stream, each in ids.items()), parse)


def hand_back(taken: Taken, group: str, consumer: str) -> Operation[None]:
    """Let the next one who looks take these over at once, as if they had been waiting for a day."""
    ids: dict[str, list[str]] = {}
    for partition, event in taken:
        ids.setdefault(partition.events, []).append(event.id.partition("-")[2])

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            raise_for(reply, "-", "-")

    idle = ("IDLE", 86_400_000, "JUSTID")
    return Operation(tuple(("XCLAIM", stream, group, consumer, 0, *each, *idle) for stream, each in ids.items()), parse)


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


def event_flow(
    context: Context,
    group: str,
    *,
    consumer: str | None,
    start: Start,
    timeout_s: float | None,
    limit: int | None,
    block_s: float,
    takeover_s: float,
    shared: int,
    held: Taken,
) -> Generator[Operation[Any] | Event, Any, None]:
    """Yields the operations that read a group's events, and the events themselves.

    Each event is acknowledged when the flow is resumed after it. No more are taken than `limit` allows to be given out,
    so that none waits for this consumer to be given up. `held` has what was taken and not acknowledged yet: whoever
    stops before the end hands it back.
    """
    name = tenant_group(context, group)
    if not isinstance(start, str) or start not in ("oldest", "new"):
        raise InvalidInput("start is 'oldest' or 'new'")
    if timeout_s is not None:
        if not isinstance(timeout_s, (int, float)) or not timeout_s >= 0:  # NaN compares false
            raise InvalidInput("timeout is a number of seconds, 0 or more, or None")
        timeout_s = float(min(timeout_s, _LONGEST_WAIT_S))  # an int may be larger than any float
    if limit is not None and (type(limit) is not int or limit < 1):
        raise InvalidInput("limit is a number of events, 1 or more, or None")
    consumer = default_consumer() if consumer is None else consumer
    consumer = str.__str__(consumer) if isinstance(consumer, str) else ""
    if not consumer.isprintable() or not 0 < len(consumer) <= _CONSUMER_LENGTH:
        raise InvalidName(f"a consumer's name is printable text of 1 to {_CONSUMER_LENGTH} characters")
    partitions = yield from _outboxes(context.tenant, shared, name, start, ())
    idle_s = 0.0
    looked_s = 0.0
    until_takeover_s = 0.0
    left = _BATCH if limit is None else limit
    while left:
        count = min(_BATCH, left)
        taken: list[tuple[PartitionKeys, Event]] = []
        if until_takeover_s <= 0:
            taken = yield take_over(partitions, name, consumer, takeover_s, count)
            until_takeover_s = takeover_s / 2
            _, gone = yield read_pending(partitions, name, consumer, count)
            if gone:
                yield without_entry(gone, name)
        if not taken:
            wait_s = block_s if timeout_s is None else min(block_s, max(0.001, timeout_s - idle_s))
            taken = yield read_new(partitions, name, consumer, count, wait_s)
            idle_s = 0.0 if taken else idle_s + wait_s
            until_takeover_s -= wait_s
            looked_s += wait_s
            if not taken and (looked_s >= _LOOK_S or len(partitions) > 1):
                partitions = yield from _outboxes(context.tenant, shared, name, start, partitions)
                looked_s = 0.0
            if not taken and timeout_s is not None and idle_s >= timeout_s:
                return
        held += taken
        for partition, event in taken:
            if event.tenant == context.tenant:
                yield event
                left -= limit is not None
            yield acknowledge([(partition, event)], name)
            del held[0]
