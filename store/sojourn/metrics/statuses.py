"""Live sessions by status: of what is not yet under way, and of what is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sojourn.keys import Homes
from sojourn.metrics.model import Metrics
from sojourn.models import LIVE
from sojourn.operations.core import Command, Operation, is_of_another_type, raise_for
from sojourn.operations.homes import homes
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["read_live"]

Live = dict[tuple[str, str], dict[str, int]]


def read_live(settings: Settings, metrics: Metrics) -> Live:
    """How many live sessions are in each status, by tenant and kind; two round trips.

    Args:
        settings: where Redis is.
        metrics: tells which tenants and kinds there are; those that it tells together are left out.

    Raises:
        StoreUnavailable: Redis did not answer in time.

    Example:
        >>> read_live(settings, read_metrics(settings))["acme", "chat"]  # doctest: +SKIP
        {'in_progress': 3, 'pending': 12}
    """
    kinds = {
        (name, label.kind): None for name, each in metrics.tenants.items() for label in each.labels if label.active
    }
    transport = Transport(settings)
    try:
        where = homes(settings.partitions)
        known = where.parse(transport.execute([where])[0])
        operation = _count(known, [each for each in kinds if known.shared and _is_told_apart(each)])
        return operation.parse(transport.execute([operation])[0])
    finally:
        transport.close()


def _is_told_apart(names: tuple[str, str]) -> bool:
    from sojourn.counts import OTHER

    return OTHER not in names


def _count(known: Homes, kinds: Sequence[tuple[str, str]]) -> Operation[Live]:
    statuses = sorted(map(str, LIVE))
    commands: list[Command] = [
        ("ZCARD", known.of(tenant).status_index(kind, status)) for tenant, kind in kinds for status in statuses
    ]

    def parse(replies: list[Any]) -> Live:
        for reply in replies:
            if not is_of_another_type(reply):
                raise_for(reply, "-", "-")
        numbers = iter([0 if is_of_another_type(each) else each for each in replies])
        return {each: {status: next(numbers) for status in statuses} for each in kinds}

    return Operation(tuple(commands) or (("PING",),), parse)
