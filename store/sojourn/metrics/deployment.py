"""A deployment's numbers: all of them in a few round trips, whatever it holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, TypeVar

from redis.exceptions import ResponseError

from sojourn.counts import OTHER, Label, readable
from sojourn.hook_names import counted_hook, hook_scope
from sojourn.jobqueues import read_job_queues, whole
from sojourn.keys import ARCHIVE, TENANTS, Homes, PartitionKeys, is_tenant, worker_notes
from sojourn.metrics.model import GroupState, Metrics
from sojourn.metrics.notes import read_notes
from sojourn.metrics.shown import Choice
from sojourn.metrics.tenant import Counted, Sweeps, TenantMetrics, count_tenant, read_sweeps, tenant_metrics
from sojourn.operations.core import Command, Operation, is_of_another_type, pairs, raise_for, together
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.operations.record import now_ms
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["read_metrics"]

T = TypeVar("T")
U = TypeVar("U")
_ALL_DEAD: Final = "dead_letters"
"""The count of all deployments' together."""
_AT_ONCE: Final = 250
"""Tenants that are asked for in one write: some 10 ms of Redis's time, between which it serves others."""
_MOST_LABELS: Final = 100
"""Kinds and client types that are told apart in a deployment: those of most sessions."""


def read_metrics(settings: Settings, choice: Choice | None = None) -> Metrics:
    """Read the numbers: seven round trips, and one more for each 250 tenants.

    What other hands have written is left out, not taken for a failure.

    Args:
        settings: where Redis and the queues are, and which tenants to tell apart.
        choice: remembers which ones they are from one call to the next.

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
        (_, known), overall = _run(transport, together(look, homes(settings.partitions)), _overall(settings))
        partitions = known.partitions
        looked = _run_all(transport, [_look(each) for each in partitions])
        sweeps = _run_all(transport, [read_sweeps(each, overall.clock_ms) for each in partitions])
        found = dict(zip(partitions, looked, strict=True))
        closer = _run_all(transport, [_closer(settings.queue_prefix, found)])[0]
        tenants = _count(transport, known, overall.tenants)
    finally:
        transport.close()
    metrics = _put_together(settings, overall, found, closer)
    swept = Sweeps()
    for each in sweeps:
        swept = swept.plus(each)
    odd = [each.sweeps for each, own in zip(partitions, sweeps, strict=True) if own.is_odd]
    odd += [key for own in tenants.values() for key in own.odd_keys]
    return replace(
        metrics,
        sweeps=swept,
        odd_keys=tuple(dict.fromkeys((*metrics.odd_keys, *odd))),
        tenants=_tenants(tenants, choice or Choice(settings.metrics_tenants)),
        largest_sessions=_largest(tenants, lambda each: sum(each.live.values())),
        largest_memory=_largest(tenants, lambda each: round(each.memory_bytes)),
    )


def _run(transport: Transport, first: Operation[T], second: Operation[U]) -> tuple[T, U]:
    one, other = transport.execute([first, second])
    return first.parse(one), second.parse(other)


def _run_all(transport: Transport, operations: Sequence[Operation[T]]) -> list[T]:
    replies = transport.execute(operations)
    return [each.parse(own) for each, own in zip(operations, replies, strict=True)]


@dataclass(frozen=True)
class _Overall:
    clock_ms: int
    tenants: tuple[str, ...]
    memory: Mapping[str, int]
    """What INFO says of it; empty where it may not be asked."""
    noted: Mapping[str, str]
    archive: Mapping[str, str]
    odd_keys: tuple[str, ...]


def _overall(settings: Settings) -> Operation[_Overall]:
    """What is not one partition's."""
    notes = worker_notes(settings.queue_prefix)

    def parse(replies: list[Any]) -> _Overall:
        clock, tenants, memory, *hashes = replies
        raise_for(clock, "-", "-")
        raise_for(tenants, "-", "-")
        odd = [key for key, reply in zip((notes, ARCHIVE), hashes, strict=True) if is_of_another_type(reply)]
        noted, archive = ({} if isinstance(each, ResponseError) else pairs(each) for each in hashes)
        said = "" if isinstance(memory, ResponseError) else str(memory)
        numbers = {name: int(text) for name, text in re.findall(r"^(used_memory|maxmemory):(\d+)", said, re.MULTILINE)}
        return _Overall(now_ms(clock), tuple(sorted(filter(is_tenant, tenants))), numbers, noted, archive, tuple(odd))

    commands: tuple[Command, ...] = (
        ("TIME",), ("SMEMBERS", TENANTS), ("INFO", "memory"), ("HGETALL", notes), ("HGETALL", ARCHIVE),
    )  # fmt: skip
    return Operation(commands, parse)


def _count(transport: Transport, known: Homes, registered: Sequence[str]) -> dict[str, Counted]:
    """What is counted of all tenants; where they were before they got partitions of their own, too."""
    places = [(name, keys) for name in sorted({*registered, *known.isolated}) for keys in known.places(name)]
    found: dict[str, Counted] = {}
    each = iter(places)
    while some := list(islice(each, _AT_ONCE)):
        counted = _run_all(transport, [count_tenant(keys) for _, keys in some])
        for (name, _), own in zip(some, counted, strict=True):
            found.setdefault(name, Counted()).add(own)
    return found


def _tenants(counted: Mapping[str, Counted], choice: Choice) -> dict[str, TenantMetrics]:
    labels: Counter[Label] = Counter()
    for each in counted.values():
        labels.update(each.stats.created)
        labels.update(dict.fromkeys(each.stats.labels, 0))
    known = {label for label, _ in labels.most_common(_MOST_LABELS)}
    if len(known) < len(labels):
        for each in counted.values():
            each.stats = each.stats.within(known)
    sizes = {name: sum(each.stats.created.values()) + each.sessions for name, each in counted.items()}
    shown = choice.of(sizes)
    rest = Counted()
    for name, each in counted.items():
        if name not in shown:
            rest.add(each)
    found = {name: tenant_metrics(name, counted[name]) for name in shown}
    return found if len(shown) == len(counted) else {**found, OTHER: tenant_metrics(OTHER, rest)}


def _largest(counted: Mapping[str, Counted], size: Callable[[Counted], int]) -> tuple[str, int]:
    return max(((name, size(each)) for name, each in counted.items()), key=lambda each: each[1], default=("", 0))


@dataclass(frozen=True)
class _Partition:
    length: int
    dirty: int
    oldest_dirty_ms: float | None
    first_deadline_ms: float | None
    counts: dict[str, int]
    groups: list[dict[str, Any]]
    odd_keys: tuple[str, ...]


def _look(partition: PartitionKeys) -> Operation[_Partition]:
    events, dirty, counts, deadlines = partition.events, partition.dirty, partition.counts, partition.deadlines
    # Scores that are no moment are passed over: they would hide the sessions behind them.
    oldest: Command = ("ZRANGEBYSCORE", dirty, 0, "+inf", "WITHSCORES", "LIMIT", 0, 1)
    asked: tuple[tuple[str, Command, Any], ...] = (
        (events, ("XLEN", events), 0), (dirty, ("ZCARD", dirty), 0), (dirty, oldest, ()),
        (counts, ("HGETALL", counts), ()), (events, ("XINFO", "GROUPS", events), ()),
        (deadlines, ("ZRANGEBYSCORE", deadlines, 0, "+inf", "WITHSCORES", "LIMIT", 0, 1), ()),
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
        length, dirty_sessions, first, texts, groups, due = found
        numbers = {_shown(name): whole(text) for name, text in pairs(texts).items()}
        return _Partition(
            length=length,
            dirty=dirty_sessions,
            oldest_dirty_ms=float(first[1]) if first else None,
            first_deadline_ms=float(due[1]) if due else None,
            counts={name: number for name, number in numbers.items() if number is not None},
            groups=[pairs(each) for each in groups],
            odd_keys=tuple(odd),
        )

    return Operation(tuple(command for _, command, _ in asked), parse)


def _shown(name: str) -> str:
    """A name that other hands gave, as text that every format takes."""
    if name.isprintable():
        return name
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in readable(name))


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
    settings: Settings, overall: _Overall, found: Mapping[PartitionKeys, _Partition], closer: _Closer
) -> Metrics:
    groups: dict[str, GroupState] = {}
    for name, pending, oldest in closer.waiting:
        so_far = groups.get(name, GroupState())
        age_s = 0.0 if oldest is None else max(0, overall.clock_ms - int(oldest.partition("-")[0])) / 1000
        groups[name] = GroupState(so_far.pending + pending, max(so_far.lag_s, age_s))
    since = [each.oldest_dirty_ms for each in found.values() if each.oldest_dirty_ms is not None]
    due = [each.first_deadline_ms for each in found.values() if each.first_deadline_ms is not None]
    queues = read_job_queues(settings)
    odd = [*overall.odd_keys, *(key for each in found.values() for key in each.odd_keys)]
    notes = read_notes(overall.noted, overall.archive)
    return Metrics(
        outbox={each.number: state.length for each, state in found.items() if state.length},
        events_alarm=settings.events_alarm,
        groups=groups,
        dirty=sum(each.dirty for each in found.values()),
        # Damaged sessions wait for a moment that is yet to come.
        dirty_age_s=max(0.0, overall.clock_ms - min(since)) / 1000 if since else 0.0,
        counts=_counts(settings.queue_prefix, (each.counts for each in found.values())),
        dead_letters=dict(closer.dead),
        queue=None if queues is None else queues.counts,
        waiting={} if queues is None else queues.waiting,
        workers={} if queues is None else queues.workers,
        overdue_age_s=max(0.0, overall.clock_ms - min(due)) / 1000 if due else 0.0,
        swept_at_s=notes.swept_at_s,
        scheduled_at_s=None if queues is None else queues.scheduled_at_s,
        clock_s=overall.clock_ms / 1000,
        hooks=notes.hooks,
        archive_runs=notes.archive_runs,
        archive_rows=notes.archive_rows,
        redis_memory_bytes=overall.memory.get("used_memory"),
        redis_memory_limit_bytes=overall.memory.get("maxmemory"),
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
