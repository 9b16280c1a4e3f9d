"""How a deployment is doing, in numbers that Redis keeps: exact, whatever workers come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from redis.exceptions import ResponseError

from sojourn.jobqueues import read_job_queues, whole
from sojourn.keys import PartitionKeys
from sojourn.operations.core import Command, Operation, is_of_another_type, pairs, raise_for, together
from sojourn.operations.dead import counted_hook, hook_scope
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.operations.record import now_ms
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["GroupState", "Metrics", "read_metrics"]

_ALL_DEAD: Final = "dead_letters"
"""The count of all deployments' together."""


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
    ``dead_letters`` (of this deployment's hooks)."""
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """Dead letters that are there now, by hook; those of this deployment, which the setting `queue_prefix` names."""
    queue: Mapping[str, int] | None = field(default_factory=dict)
    """The same of the jobs: ``refused_jobs``, ``set_aside_jobs``, ``unreadable_jobs``, ``lost_workers``; None where the
    queues' Redis does not answer."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Jobs that wait, by queue."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """Workers that are alive, by queue."""
    odd_keys: tuple[str, ...] = ()
    """Keys of another type than they should be; what they should hold is not among these numbers."""

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
        more = {"past_alarm": list(self.past_alarm), "slowest_group": self.slowest_group}
        return asdict(self) | {"odd_keys": list(self.odd_keys)} | more


def read_metrics(settings: Settings) -> Metrics:
    """Read the numbers; six round trips. What other hands have written is left out, not taken for a failure.

    Raises:
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> read_metrics(load_settings()).counts.get("lost", 0)  # doctest: +SKIP
        0
    """
    transport = Transport(settings)
    try:
        look, _ = open_layout(settings.partitions)
        first = together(look, homes(settings.partitions))
        _, known = first.parse(transport.execute([first])[0])
        partitions = known.partitions
        looks = [_look(each) for each in partitions]
        clock_replies, *replies = transport.execute([_clock(), *looks])
        clock_ms = _clock().parse(clock_replies)
        found = {each: one.parse(own) for each, one, own in zip(partitions, looks, replies, strict=True)}
        more = _closer(settings.queue_prefix, found)
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
    odd_keys: tuple[str, ...]


def _clock() -> Operation[int]:
    def parse(replies: list[Any]) -> int:
        raise_for(replies[0], "-", "-")
        return now_ms(replies[0])

    return Operation((("TIME",),), parse)


def _look(partition: PartitionKeys) -> Operation[_Partition]:
    events, dirty, counts = partition.events, partition.dirty, partition.counts
    # Scores that are no moment are passed over: they would hide the sessions behind them.
    oldest: Command = ("ZRANGEBYSCORE", dirty, 0, "+inf", "WITHSCORES", "LIMIT", 0, 1)
    asked: tuple[tuple[str, Command, Any], ...] = (
        (events, ("XLEN", events), 0), (dirty, ("ZCARD", dirty), 0), (dirty, oldest, ()),
        (counts, ("HGETALL", counts), ()), (events, ("XINFO", "GROUPS", events), ()),
    )  # fmt: skip

    def parse(replies: list[Any]) -> _Partition:
        odd: dict[str, None] = {}
        found: list[Any] = []
        for (key, _, nothing), reply in zip(asked, replies, strict=True):
            if is_of_another_type(reply):
                odd[key] = None
                found.append(nothing)
            elif isinstance(reply, ResponseError) and "no such key" in str(reply):
                found.append(nothing)
            else:
                raise_for(reply, "-", "-")
                found.append(reply)
        length, dirty_sessions, first, texts, groups = found
        numbers = {_shown(name): whole(text) for name, text in pairs(texts).items()}
        return _Partition(
            length=length,
            dirty=dirty_sessions,
            oldest_dirty_ms=float(first[1]) if first else None,
            counts={name: number for name, number in numbers.items() if number is not None},
            groups=[pairs(each) for each in groups],
            odd_keys=tuple(odd),
        )

    return Operation(tuple(command for _, command, _ in asked), parse)


def _shown(name: str) -> str:
    """A name that other hands gave, as text that every format takes."""
    if name.isprintable():
        return name
    told = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in told)


@dataclass(frozen=True)
class _Closer:
    waiting: list[tuple[str, int, str | None]]
    """Group, events pending, and the oldest event that it has not acknowledged; for each partition."""
    dead: Counter[str]
    odd_keys: tuple[str, ...]


def _closer(queue_prefix: str, found: Mapping[PartitionKeys, _Partition]) -> Operation[_Closer]:
    """What only the first replies tell how to ask: the oldest event that each group still needs, and dead letters."""
    commands: list[Command] = []
    groups: list[tuple[str, int]] = []
    hooks: list[tuple[str, str]] = []
    for partition, state in found.items():
        for group in state.groups:
            name, pending = str(group["name"]), int(group["pending"])
            groups.append((_shown(name), pending))
            if pending:
                commands.append(("XPENDING", partition.events, name.encode("utf-8", "surrogateescape")))
            else:
                commands.append(("XRANGE", partition.events, f"({group['last-delivered-id']}", "+", "COUNT", 1))
    for partition, state in found.items():
        for hook in filter(None, (counted_hook(queue_prefix, name) for name in state.counts)):
            hooks.append((hook, partition.dead(hook_scope(queue_prefix, hook))))
            commands.append(("XLEN", hooks[-1][1]))

    def parse(replies: list[Any]) -> _Closer:
        for reply in replies:
            if not is_of_another_type(reply):
                raise_for(reply, "-", "-")
        waiting = [
            (name, pending, reply[1] if pending else (reply[0][0] if reply else None))
            for (name, pending), reply in zip(groups, replies, strict=False)
        ]
        dead: Counter[str] = Counter()
        odd = []
        for (hook, key), length in zip(hooks, replies[len(groups) :], strict=False):
            if is_of_another_type(length):
                odd.append(key)
            else:
                dead[hook] += length
        return _Closer(waiting, dead, tuple(odd))

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
    queues = read_job_queues(settings)
    odd = [key for each in found.values() for key in each.odd_keys]
    return Metrics(
        outbox={each.number: state.length for each, state in found.items() if state.length},
        events_alarm=settings.events_alarm,
        groups=groups,
        dirty=sum(each.dirty for each in found.values()),
        # Damaged sessions wait for a moment that is yet to come.
        dirty_age_s=max(0.0, clock_ms - min(since)) / 1000 if since else 0.0,
        counts=_counts(settings.queue_prefix, (each.counts for each in found.values())),
        dead_letters=dict(closer.dead),
        queue=None if queues is None else queues.counts,
        waiting={} if queues is None else queues.waiting,
        workers={} if queues is None else queues.workers,
        odd_keys=(*odd, *closer.odd_keys, *(() if queues is None else queues.odd_keys)),
    )


def _counts(queue_prefix: str, counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums over all partitions; of dead letters only this deployment's, which are counted by hook."""
    total: Counter[str] = Counter()
    for each in counts:
        for name, number in each.items():
            if counted_hook(queue_prefix, name) is not None:
                total[_ALL_DEAD] += number
            elif not name.startswith(_ALL_DEAD):
                total[name] += number
    return dict(total)
