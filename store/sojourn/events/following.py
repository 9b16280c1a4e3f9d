"""Reading a tenant's events as a consumer group: step by step, wherever they are, until there are no more."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Sequence
from typing import Any, Final

from sojourn.errors import InvalidInput, InvalidName
from sojourn.events.event import Event
from sojourn.events.groups import (
    Start,
    Taken,
    acknowledge,
    count_pending,
    forget_group,
    join_group,
    read_new,
    read_pending,
    take_over,
    tenant_group,
    without_entry,
)
from sojourn.keys import PartitionKeys
from sojourn.operations.core import Context, Operation
from sojourn.operations.homes import find_home

__all__ = ["default_consumer", "event_flow", "forget_flow"]

_BATCH: Final = 100
_LONGEST_WAIT_S: Final = 1e12
_CONSUMER_LENGTH: Final = 256
_LOOK_S: Final = 1.0
"""So often, where there is nothing to read, it is asked whether the tenant has a partition of its own by now."""


def default_consumer() -> str:
    """Names this process among the consumers of a group."""
    return f"{socket.gethostname()}-{os.getpid()}"


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
    pending = None if former is None else (yield count_pending(former, group))
    if pending is None:
        return [own]
    if former in before and not (home.moving or pending):
        yield forget_group(former, group)  # else it would keep others' events from being trimmed for ever
        return [own]
    return [own, former]


def forget_flow(context: Context, group: str, shared: int) -> Generator[Operation[Any], Any, bool]:
    """Remove a tenant's group, wherever it is; whether there was one. `shared`: how many partitions are shared."""
    name = tenant_group(context, group)
    there: bool = yield forget_group(context.keys.partition, name)
    former = (yield find_home(context.tenant, shared)).former
    if former is not None and (yield count_pending(former, name)) is not None:
        there |= yield forget_group(former, name)
    return there
