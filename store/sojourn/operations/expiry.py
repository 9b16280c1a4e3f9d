"""The operations of workers: claiming what is due, settling what is archived, trimming the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sojourn.errors import SojournError
from sojourn.events import ARCHIVE_GROUP
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Context, Operation, call, raise_for

__all__ = [
    "Archived",
    "Swept",
    "claim_due",
    "claim_session",
    "note_failed_sweep",
    "settle",
    "settle_many",
    "trim_events",
]


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


def note_failed_sweep(partition: PartitionKeys) -> Operation[None]:
    """Count that a sweep of a partition failed."""
    return call("note_sweep", [partition.sweeps], ("failures",), lambda _: None)


def claim_session(context: Context, keys: TenantKeys, session_id: str) -> Operation[str]:
    """Claim one session if it is past its deadline; the outcome is told in a word (see the script)."""

    def parse(reply: Any) -> str:
        raise_for(reply, session_id, keys.tenant)
        return str(reply)

    args = (keys.partition.prefix, keys.tenant, session_id, context.grace_ms, context.retention_ms)
    return call("claim_session", [keys.session(session_id)], args, parse)


class Archived(NamedTuple):
    """What the archive holds of a session: its state, and how many entries of its logs."""

    keys: TenantKeys
    session_id: str
    version: str
    updated_at_ms: str
    logs: Mapping[str, int]


def settle_many(partition: PartitionKeys, archived: Sequence[Archived]) -> Operation[list[str | SojournError]]:
    """Tell Redis what the archive holds of some sessions of a partition.

    The outcomes are told in a word each (see the script). Where a session cannot be settled, its error takes the place
    of its outcome, and the others are settled all the same.
    """

    def parse(reply: Any) -> list[str | SojournError]:
        raise_for(reply, "-", "-")
        return [_outcome(own, each) for own, each in zip(reply, archived, strict=True)]

    args: list[str | int] = [partition.prefix]
    for each in archived:
        args += (each.keys.member(each.session_id), each.version, each.updated_at_ms, len(each.logs))
        for log in each.logs.items():
            args += log
    return call("settle_sessions", [partition.dirty], args, parse)


def _outcome(reply: Any, archived: Archived) -> str | SojournError:
    if isinstance(reply, str):
        return reply
    try:
        raise_for(reply, archived.session_id, archived.keys.tenant)
    except SojournError as error:
        return error
    raise AssertionError(reply)


def settle(keys: TenantKeys, session_id: str, version: str, updated_at_ms: str, logs: dict[str, int]) -> Operation[str]:
    """The same for one session.

    Raises:
        What Redis answers in place of an outcome.
    """
    many = settle_many(keys.partition, [Archived(keys, session_id, version, updated_at_ms, logs)])

    def parse(replies: list[Any]) -> str:
        outcome = many.parse(replies)[0]
        if isinstance(outcome, SojournError):
            raise outcome
        return outcome

    return Operation(many.commands, parse, many.source)


def trim_events(partition: PartitionKeys, cap: int, awaited: Sequence[str] = ()) -> Operation[int]:
    """Trim a partition's outbox to what every group has acknowledged; not at all before those `awaited` are there."""

    def parse(reply: Any) -> int:
        raise_for(reply, "-", "-")
        return int(reply)

    return call("trim_events", [partition.events], (cap, *awaited), parse)
