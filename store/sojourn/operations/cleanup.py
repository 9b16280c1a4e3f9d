"""Cleaning up without a worker: claiming what is due of one tenant, and ending what nobody has used for long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from sojourn.errors import SojournError
from sojourn.events import ARCHIVE_GROUP
from sojourn.models import Session, Status
from sojourn.operations.core import Argument, Context, Operation, call, new_operation_id, raise_for
from sojourn.operations.listing import Filters
from sojourn.operations.write import ending

__all__ = ["Inactive", "Step", "add_counts", "end_inactive", "expire_due", "purge_ended"]

Failures = Sequence[tuple[str, SojournError]]
Place = tuple[str, str]
"""Where a walk goes on; two empty texts at the start."""


@dataclass(frozen=True)
class Step:
    """What one script did, and where the next goes on; None: that was the end."""

    counts: Mapping[str, int]
    ids: Sequence[str]
    failures: Failures
    candidates: int
    behind: Place | None


Steps = Callable[[Place, int], Operation[Step]]
"""Makes the step that goes on behind a place, and deals with so many sessions at most."""


@dataclass(frozen=True)
class Inactive:
    """Which sessions end, and how that is told."""

    wanted: Filters
    max_age_ms: int
    reason: str
    dry_run: bool


def expire_due(context: Context, scan: int) -> Steps:
    """Claim overdue sessions of the tenant, each time among so many entries of the partition."""
    keys = context.keys

    def parse(reply: Any) -> Step:
        raise_for(reply, "-", context.tenant)
        expired, lost, damaged, score, last, complete, failures = reply
        counts = {"expired": round(expired), "lost": lost, "damaged": damaged}
        return Step(counts, (), _failures(context, failures), 0, None if complete else (score, last))

    def step(behind: Place, limit: int) -> Operation[Step]:
        args = (
            keys.partition.prefix, keys.tenant, new_operation_id(), limit, scan, *behind, context.grace_ms,
            context.retention_ms,
        )  # fmt: skip
        return call("expire_due", [keys.partition.deadlines], args, parse)

    return step


def purge_ended(context: Context, scan: int, *, archived: bool) -> Steps:
    """Remove ended sessions of the tenant whose time is up, each time among so many entries of the partition."""
    keys = context.keys

    def parse(reply: Any) -> Step:
        raise_for(reply, "-", context.tenant)
        removed, score, last, complete, failures = reply
        return Step({"removed": removed}, (), _failures(context, failures), 0, None if complete else (score, last))

    def step(behind: Place, limit: int) -> Operation[Step]:
        args = (
            keys.partition.prefix, keys.tenant, new_operation_id(), limit, scan, *behind, context.grace_ms,
            int(archived), ARCHIVE_GROUP,
        )  # fmt: skip
        return call("purge_ended", [keys.partition.removals], args, parse)

    return step


def end_inactive(context: Context, model: type[Session], inactive: Inactive) -> Steps:
    """End sessions that were not used for so long."""
    keys, wanted = context.keys, inactive.wanted
    kinds, statuses = ",".join(wanted.kinds), ",".join(wanted.statuses)
    expects = f"{kinds}\n{context.owner}" if context.owner else kinds
    allowed, reason, told = ending(context, model, Status.TERMINATED, inactive.reason)

    def parse(reply: Any) -> Step:
        raise_for(reply, "-", context.tenant)
        candidates, skipped, newest, after, complete, ended, failures = reply
        ids = ended if isinstance(ended, list) else []  # of a step that was sent again it is only known how many
        counts = {"ended": len(ids) if isinstance(ended, list) else ended, "skipped": skipped}
        return Step(counts, ids, _failures(context, failures), candidates, None if complete else (newest, after))

    def step(behind: Place, limit: int) -> Operation[Step]:
        args = (
            keys.partition.prefix, keys.tenant, new_operation_id(), expects, statuses, inactive.max_age_ms,
            context.slide_gain if context.sliding else 0, *behind, limit, int(inactive.dry_run), allowed, reason,
            context.grace_ms, context.retention_ms, context.actor, context.trace, told,
        )  # fmt: skip
        return call("end_inactive", [keys.kinds], args, parse)

    return step


def _failures(context: Context, flat: Sequence[str]) -> Failures:
    """Ids and errors in turn."""
    each = iter(flat)
    return [(session_id, _error(context, session_id, told)) for session_id, told in zip(each, each, strict=True)]


def _error(context: Context, session_id: str, told: str) -> SojournError:
    try:
        raise_for(ResponseError(told), session_id, context.tenant)
    except SojournError as error:
        return error
    raise AssertionError(told)


def add_counts(
    context: Context, key: str, counts: Mapping[str, int], *, stamp: str = "", operation: str = ""
) -> Operation[bool]:
    """Add to counts of the tenant; whether there is such a tenant. Sent again under one id it counts once.

    Args:
        context: of the tenant.
        key: the hash that holds the counts.
        counts: what is added, by name.
        stamp: the name of one that gets the time.
        operation: the id of this addition; by default a new one.
    """

    def parse(reply: Any) -> bool:
        raise_for(reply, "-", context.tenant)
        return bool(reply)

    args: list[Argument] = [context.keys.partition.prefix, context.tenant, operation or new_operation_id(), stamp]
    for pair in counts.items():
        args += pair
    return call("add_counts", [key], args, parse)
