"""The operations of workers: claiming what is due, settling what is archived, trimming the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sojourn.events import ARCHIVE_GROUP
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Context, Operation, call, raise_for

__all__ = ["Swept", "claim_due", "claim_session", "settle", "trim_events"]


@dataclass(frozen=True)
class Swept:
    """What one sweep of a partition did. `more`: the limit cut it short; sweep again."""

    expired: int
    lost: int
    removed: int
    more: bool


def claim_due(context: Context, partition: PartitionKeys, limit: int, *, archived: bool) -> Operation[Swept]:
    """Claim up to `limit` overdue sessions of a partition, and remove up to `limit` ended ones."""

    def parse(reply: Any) -> Swept:
        raise_for(reply, "-", "-")
        looked_at, expired, lost, removed = reply
        return Swept(expired, lost, removed, looked_at >= limit or removed >= limit)

    args = (partition.prefix, limit, context.grace_ms, context.retention_ms, int(archived), ARCHIVE_GROUP)
    return call("claim_due", [partition.deadlines], args, parse)


def claim_session(context: Context, keys: TenantKeys, session_id: str) -> Operation[str]:
    """Claim one session if it is past its deadline; the outcome is told in a word (see the script)."""

    def parse(reply: Any) -> str:
        raise_for(reply, session_id, keys.tenant)
        return str(reply)

    args = (keys.partition.prefix, keys.tenant, session_id, context.grace_ms, context.retention_ms)
    return call("claim_session", [keys.session(session_id)], args, parse)


def settle(keys: TenantKeys, session_id: str, version: str, updated_at_ms: str, logs: dict[str, int]) -> Operation[str]:
    """Tell Redis that the archive holds this state of a session; the outcome is told in a word (see the script)."""

    def parse(reply: Any) -> str:
        raise_for(reply, session_id, keys.tenant)
        return str(reply)

    args = [keys.partition.prefix, keys.tenant, session_id, version, updated_at_ms]
    for name, length in logs.items():
        args += [name, str(length)]
    return call("settle_session", [keys.session(session_id)], args, parse)


def trim_events(partition: PartitionKeys, cap: int, awaited: Sequence[str] = ()) -> Operation[int]:
    """Trim a partition's outbox to what every group has acknowledged; not at all before those `awaited` are there."""

    def parse(reply: Any) -> int:
        raise_for(reply, "-", "-")
        return int(reply)

    return call("trim_events", [partition.events], (cap, *awaited), parse)
