"""Holding what lists sessions against their records, and making it agree: each step in one script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Context, Operation, call, raise_for

__all__ = ["SUMMED_AT_ONCE", "check_entries", "check_keys", "check_sessions", "check_total", "drop_consumers"]

SUMMED_AT_ONCE: Final = 1_000
"""Places of sessions that one script adds up: some millisecond of Redis."""


def check_sessions(
    context: Context, keys: TenantKeys, ids: Sequence[str], *, mends: bool
) -> Operation[list[tuple[str, ...]]]:
    """What is wrong with each session, in words (see the script).

    Args:
        context: the settings that say how long records outlive their sessions.
        keys: where the sessions are.
        ids: the sessions; some hundred at once.
        mends: whether what disagrees with the record is mended.
    """

    def parse(reply: Any) -> list[tuple[str, ...]]:
        raise_for(reply, "-", keys.tenant)
        return [tuple(filter(None, each.split(","))) for each in reply]

    first = (keys.partition.prefix, keys.tenant, int(mends), context.grace_ms, context.retention_ms)
    return call("check_sessions", [keys.limits], [*first, *ids], parse)


def check_entries(keys: TenantKeys, index: str, ids: Sequence[str], *, mends: bool) -> Operation[list[str]]:
    """For each entry of one of a tenant's indexes or sets of live sessions: ``fine``, ``stray`` or ``gone``."""

    def parse(reply: Any) -> list[str]:
        raise_for(reply, "-", keys.tenant)
        return list(reply)

    name = index.encode(errors="surrogateescape")
    return call("check_entries", [name], (keys.partition.prefix, keys.tenant, int(mends), *ids), parse)


def check_keys(keys: TenantKeys, named: Sequence[tuple[str, str]], *, mends: bool) -> Operation[list[str]]:
    """For each key that belongs to a session, as what it is and its name behind that: ``fine`` or ``stray``."""

    def parse(reply: Any) -> list[str]:
        raise_for(reply, "-", keys.tenant)
        return list(reply)

    flat = [part.encode(errors="surrogateescape") for pair in named for part in pair]
    return call("check_keys", [keys.limits], (keys.partition.prefix, keys.tenant, int(mends), *flat), parse)


def check_total(keys: TenantKeys, *, mends: bool, summed: tuple[int, int] | None = None) -> Operation[str]:
    """Whether the bytes of a tenant's places are summed up rightly: ``fine`` or ``wrong``.

    Of more than `SUMMED_AT_ONCE` it answers ``many``: then `summed` is the sum as it was told before the caller added
    them up himself, and what that came to; ``moved`` if the sum is another since.
    """

    def parse(reply: Any) -> str:
        raise_for(reply, "-", keys.tenant)
        return str(reply)

    return call("check_total", [keys.places], (int(mends), SUMMED_AT_ONCE, *(summed or ("", ""))), parse)


def drop_consumers(partition: PartitionKeys, group: str, idle_ms: int) -> Operation[int]:
    """Forget the consumers of a group that hold nothing and were silent for so long; how many."""

    def parse(reply: Any) -> int:
        raise_for(reply, "-", "-")
        return int(reply)

    name = group.encode(errors="surrogateescape")
    return call("drop_consumers", [partition.events], (name, idle_ms), parse)
