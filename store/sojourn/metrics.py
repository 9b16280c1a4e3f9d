"""How a deployment is doing, in numbers that Redis keeps: exact, whatever workers come and go."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import redis
from redis.exceptions import RedisError, ResponseError

from sojourn.keys import PartitionKeys, queue_counts
from sojourn.operations.core import Command, Operation, pairs, raise_for
from sojourn.operations.read import open_layout
from sojourn.operations.record import now_ms
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["GroupState", "Metrics", "read_metrics"]

_DEAD: Final = "dead_letters:"
"""Counts that begin so are of one hook each; the rest names it, as in keys."""


@dataclass(frozen=True)
class GroupState:
    """How far a consumer group is behind, over all partitions."""

    pending: int = 0
    """Events that it was given and has not acknowledged."""
    lag_s: float = 0.0
    """The age of the oldest event that it has not acknowledged, in seconds."""


@dataclass(frozen=True)
class Metrics:
    """What `read_metrics` found.

    Example:
        >>> Metrics(outbox={3: 120_000, 7: 12}, events_alarm=100_000).past_alarm
        (3,)
    """

    outbox: Mapping[int, int] = field(default_factory=dict)
    """Events in the outbox of each partition that has some; it keeps what the slowest group has not read."""
    events_alarm: int = 0
    """How many are too many: the setting of that name."""
    groups: Mapping[str, GroupState] = field(default_factory=dict)
    """The consumer groups, by name."""
    dirty: int = 0
    """Sessions that changed since they were last archived."""
    dirty_age_s: float = 0.0
    """For how long the first of them has been waiting, in seconds."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often something went wrong since this Redis was laid out: ``lost`` (a record was gone), ``damaged`` (it
    could not be read), ``stale`` and ``restored`` (Redis was behind the archive: sessions, and partitions),
    ``dead_letters``."""
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """Dead letters that are there now, by hook."""
    queue: Mapping[str, int] | None = field(default_factory=dict)
    """The same of the jobs: ``refused_jobs``, ``set_aside_jobs``, ``unreadable_jobs``, ``lost_workers``; None where the
    queues' Redis does not answer."""

    @property
    def past_alarm(self) -> tuple[int, ...]:
        """The partitions whose outbox has more events than `events_alarm`."""
        return tuple(number for number, length in self.outbox.items() if length > self.events_alarm)

    @property
    def slowest_group(self) -> str | None:
        """The group that is furthest behind, if any is."""
        behind = {name: each.lag_s for name, each in self.groups.items() if each.lag_s > 0}
        return max(behind, key=lambda name: behind[name], default=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"past_alarm": list(self.past_alarm), "slowest_group": self.slowest_group}


def read_metrics(settings: Settings) -> Metrics:
    """Read the numbers; three round trips.

    Raises:
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> read_metrics(load_settings()).counts.get("lost", 0)  # doctest: +SKIP
        0
    """
    transport = Transport(settings)
    try:
        (look, _), partitions = open_layout(settings.partitions), settings.all_partitions
        looks = [_look(each) for each in partitions]
        layout_replies, clock_replies, *replies = transport.execute([look, _clock(), *looks])
        look.parse(layout_replies)
        clock_ms = _clock().parse(clock_replies)
        found = {each: one.parse(own) for each, one, own in zip(partitions, looks, replies, strict=True)}
        more = _closer(found)
        closer = more.parse(transport.execute([more])[0])
    finally:
        transport.close()
    return _put_together(settings, clock_ms, found, closer)


@dataclass(frozen=True)
class _Partition:
    length: int
    dirty: int
    oldest_dirty_ms: float | None
    counts: dict[str, int]
    groups: list[dict[str, Any]]


def _clock() -> Operation[int]:
    def parse(replies: list[Any]) -> int:
        raise_for(replies[0], "-", "-")
        return now_ms(replies[0])

    return Operation((("TIME",),), parse)


def _look(partition: PartitionKeys) -> Operation[_Partition]:
    def parse(replies: list[Any]) -> _Partition:
        length, dirty, oldest, counts, groups = replies
        for reply in replies[:4]:
            raise_for(reply, "-", "-")
        if not (isinstance(groups, ResponseError) and "no such key" in str(groups)):
            raise_for(groups, "-", "-")
        known = [] if isinstance(groups, ResponseError) else [pairs(each) for each in groups]
        numbers = {name: int(text) for name, text in pairs(counts).items() if text.isascii() and text.isdecimal()}
        return _Partition(length, dirty, float(oldest[1]) if oldest else None, numbers, known)

    commands: tuple[Command, ...] = (
        ("XLEN", partition.events), ("ZCARD", partition.dirty), ("ZRANGE", partition.dirty, 0, 0, "WITHSCORES"),
        ("HGETALL", partition.counts), ("XINFO", "GROUPS", partition.events),
    )  # fmt: skip
    return Operation(commands, parse)


@dataclass(frozen=True)
class _Closer:
    waiting: list[tuple[str, int, str | None]]
    """Group, events pending, and the oldest event that it has not acknowledged; for each partition."""
    dead: Counter[str]


def _closer(found: Mapping[PartitionKeys, _Partition]) -> Operation[_Closer]:
    """What only the first replies tell how to ask: the oldest event that each group still needs, and dead letters."""
    commands: list[Command] = []
    groups: list[tuple[str, int]] = []
    hooks: list[str] = []
    for partition, state in found.items():
        for group in state.groups:
            name, pending = str(group["name"]), int(group["pending"])
            groups.append((name, pending))
            if pending:
                commands.append(("XPENDING", partition.events, name))
            else:
                commands.append(("XRANGE", partition.events, f"({group['last-delivered-id']}", "+", "COUNT", 1))
    for partition, state in found.items():
        for name in state.counts:
            if name.startswith(_DEAD):
                hooks.append(name.removeprefix(_DEAD))
                commands.append(("XLEN", partition.dead(hooks[-1])))

    def parse(replies: list[Any]) -> _Closer:
        for reply in replies:
            raise_for(reply, "-", "-")
        waiting = [
            (name, pending, reply[1] if pending else (reply[0][0] if reply else None))
            for (name, pending), reply in zip(groups, replies, strict=False)
        ]
        dead: Counter[str] = Counter()
        for hook, length in zip(hooks, replies[len(groups) :], strict=False):
            dead[hook] += length
        return _Closer(waiting, dead)

    return Operation(tuple(commands) or (("PING",),), parse)


def _put_together(
    settings: Settings, clock_ms: int, found: Mapping[PartitionKeys, _Partition], closer: _Closer
) -> Metrics:
    groups: dict[str, GroupState] = {}
    for name, pending, oldest in closer.waiting:
        so_far = groups.get(name, GroupState())
        age_s = 0.0 if oldest is None else max(0, clock_ms - int(oldest.partition("-")[0])) / 1000
        groups[name] = GroupState(so_far.pending + pending, max(so_far.lag_s, age_s))
    since = [each.oldest_dirty_ms for each in found.values() if each.oldest_dirty_ms is not None]
    counts = _sum(each.counts for each in found.values())
    return Metrics(
        outbox={each.number: state.length for each, state in found.items() if state.length},
        events_alarm=settings.events_alarm,
        groups=groups,
        dirty=sum(each.dirty for each in found.values()),
        # Damaged sessions wait for a moment that is yet to come.
        dirty_age_s=max(0.0, clock_ms - min(since)) / 1000 if since else 0.0,
        counts={name: number for name, number in counts.items() if not name.startswith(_DEAD)},
        dead_letters={hook.removeprefix(f"{settings.queue_prefix}."): number for hook, number in closer.dead.items()},
        queue=_queue(settings),
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _queue(settings: Settings) -> dict[str, int] | None:
    url = settings.queue_url or settings.redis_url
    client: Any = redis.Redis.from_url(
        url, decode_responses=True, protocol=2, socket_timeout=settings.socket_timeout,
        socket_connect_timeout=settings.socket_timeout,
    )  # fmt: skip
    with contextlib.closing(client):
        try:
            return {name: int(text) for name, text in client.hgetall(queue_counts(settings.queue_prefix)).items()}
        except (RedisError, OSError, ValueError):
            return None
