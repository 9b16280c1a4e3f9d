"""The operations on a tenant's limits: setting and reading them, making room, and counting calls that are no script."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from redis.exceptions import ResponseError

from sojourn.codec import check_indexed, codec_for
from sojourn.errors import InvalidInput, LimitError, NoRoom, StoreError
from sojourn.keys import CHANGED_TENANTS
from sojourn.models import LIVE, Session
from sojourn.operations import listing
from sojourn.operations.core import (
    Argument,
    Command,
    Context,
    Operation,
    all_of,
    call,
    new_operation_id,
    pairs,
    raise_for,
)
from sojourn.quotas import TenantLimits, Usage, checked_limits

__all__ = [
    "PLACED_AT_ONCE",
    "Pace",
    "begin",
    "in_room_flow",
    "needs_room",
    "paced",
    "place",
    "read_limits",
    "set_limits_flow",
    "usage",
]

R = TypeVar("R")
PLACED_AT_ONCE: Final = 25
_LOOK_AGAIN_S: Final = 1.0
_TRIES: Final = 1_000


@dataclass
class Pace:
    """What a client knows of whether a tenant's plain reads are counted; looked up along with one of them."""

    counts: bool = False
    until_s: float = float("-inf")
    """When to look again; monotonic."""
    plain_until_s: float = float("-inf")
    """Until then reads are neither counted nor to look."""


def paced(
    context: Context, operation: Operation[R], session_id: str, pace: Pace, now_s: float, *, spends: bool = True
) -> Operation[R]:
    """A read, counted where the tenant has a rate of operations, if it is no script, which counts for itself.

    Whether it has one is asked at most once a second, in the same round trip as a read.

    Args:
        context: of the tenant.
        operation: the read.
        session_id: what it reads.
        pace: what is known of the tenant.
        now_s: monotonic seconds.
        spends: False for what is counted in another way, and only asks.
    """
    if operation.source is not None and spends:
        return operation
    looks = now_s >= pace.until_s
    spends = spends and pace.counts
    if not looks and not spends:
        return operation
    keys = context.keys
    before: tuple[Command, ...] = ()
    if looks:
        before = (("HMGET", keys.limits, "operations", "owner_operations"),)
    reads = (*before, *operation.commands)

    def learn(replies: list[Any]) -> None:
        if looks:
            raise_for(replies[0], session_id, context.tenant)
            pace.counts = replies[0] != [None, None]
            pace.until_s = now_s + _LOOK_AGAIN_S
            pace.plain_until_s = float("-inf") if pace.counts else pace.until_s

    if not spends:

        def parse(replies: list[Any]) -> R:
            learn(replies)
            return operation.parse(replies[len(before) :])

        return Operation(reads, parse, operation.source)

    def parse_paid(replies: list[Any]) -> R:
        learn(replies)
        raise_for(replies[-1], session_id, context.tenant)
        return operation.parse(replies[len(before) : -1])

    args = (keys.partition.prefix, context.tenant, session_id)
    spend = call("spend_operation", [keys.limits], args, lambda reply: reply, reads)
    return Operation(spend.commands, parse_paid, spend.source)


def needs_room(replies: Sequence[Any]) -> bool:
    """Whether a script answered that it needs room within the limits first."""
    reply = replies[-1]
    return isinstance(reply, ResponseError) and str(reply).startswith("ROOM ")


def in_room_flow(
    context: Context, operation: Operation[R], replies: list[Any]
) -> Generator[Operation[Any], Any, tuple[Operation[R], list[Any]]]:
    """Make room for an operation and send it again, until it gets through or a limit refuses it.

    Returns:
        The operation and its replies; for one that is refused, an operation whose result is that error.
    """
    for _ in range(_TRIES):
        try:
            operation.parse(replies)
        except NoRoom as error:
            need = error
        else:
            return operation, replies
        try:
            while not (yield _make_room(context, need)):
                pass
        except LimitError as error:
            return replace(operation, parse=_raising(error)), replies
        replies = yield Operation(operation.commands, list, operation.source)
        if not needs_room(replies):
            return operation, replies
    raise StoreError(
        f"tenant '{context.tenant}' gave no room in {_TRIES} tries: others take it as soon as there is some"
    )


def _raising(error: LimitError) -> Any:
    def parse(_: list[Any]) -> Any:
        raise error

    return parse


def _make_room(context: Context, need: NoRoom) -> Operation[bool]:
    keys = context.keys
    args: list[Argument] = [
        keys.partition.prefix, context.tenant, need.session_id, *need.wanted, context.grace_ms, context.retention_ms,
    ]  # fmt: skip

    def parse(reply: Any) -> bool:
        raise_for(reply, need.session_id, context.tenant)
        return bool(reply)

    return call("make_room", [keys.limits], args, parse)


def _set(context: Context, limits: TenantLimits, names: frozenset[str] | None, *, begins: bool) -> Operation[Any]:
    keys = context.keys
    stored = limits.to_stored(names)
    told = ""
    if not begins:
        told = json.dumps({"action": "tenant.limits", **{name: value or None for name, value in stored.items()}})
    args: list[Argument] = [
        keys.partition.prefix, context.tenant, new_operation_id(), context.actor, context.trace, told,
        int(limits.on_sessions), int(begins),
    ]  # fmt: skip
    for pair in stored.items():
        args += pair

    def parse(reply: Any) -> tuple[str, TenantLimits]:
        raise_for(reply, "-", context.tenant)
        return reply[0], TenantLimits.from_stored(pairs(reply[1:]))

    before = (("SADD", CHANGED_TENANTS, context.tenant),) if begins else ()
    return call("set_limits", [keys.limits], args, parse, before)


def begin(context: Context, limits: TenantLimits) -> Operation[Any]:
    """Give a tenant that is new these limits; leave any other as it is."""
    return _set(context, limits, None, begins=True)


def read_limits(context: Context) -> Operation[TenantLimits]:
    """The tenant's limits."""

    def parse(replies: list[Any]) -> TenantLimits:
        raise_for(replies[0], "-", context.tenant)
        return TenantLimits.from_stored(pairs(replies[0]))

    return Operation((("HGETALL", context.keys.limits),), parse)


def set_limits_flow(context: Context, changes: Mapping[str, Any]) -> Generator[Operation[Any], Any, TenantLimits]:
    """Set some limits, and count the sessions that there are before they are said to hold."""
    if not changes:
        raise InvalidInput("set_tenant_limits() needs at least one limit, or None for one to remove")
    limits = checked_limits(changes)
    # Before the change, so that no copy is missing; and apart from it, since who may not do this may not do that.
    yield all_of([("SADD", CHANGED_TENANTS, context.tenant)])
    state, result = yield _set(context, limits, frozenset(changes), begins=False)
    if state == "filling":
        wanted = listing.filters(
            context, codec_for(Session), status=tuple(LIVE), kind=None, owner=None, client_type=None, tag=None,
            created_after=None, created_before=None, where=None,
        )  # fmt: skip
        cursor = None
        while True:
            ids, cursor = yield from listing.ids_flow(context, wanted, PLACED_AT_ONCE, cursor)
            yield place(context, ids, done=cursor is None)
            if cursor is None:
                break
    return result  # type: ignore[no-any-return]


def place(context: Context, ids: Sequence[str], *, done: bool) -> Operation[int]:
    """Count sessions from before their tenant had limits, `PLACED_AT_ONCE` at most; `done`: the last ones."""
    keys = context.keys

    def parse(reply: Any) -> int:
        raise_for(reply, "-", context.tenant)
        return int(reply)

    return call("place_sessions", [keys.limits], (keys.partition.prefix, context.tenant, int(done), *ids), parse)


def usage(context: Context, owner: str | None) -> Operation[Usage]:
    """What the tenant, or one owner, takes of its limits."""
    keys = context.keys
    if context.owner:
        owner = context.own(owner)
    if owner is not None:
        owner = check_indexed("owner", owner, context.limits)
    live = keys.live if owner is None else keys.live_of(owner)

    def parse(replies: list[Any]) -> Usage:
        for reply in replies:
            raise_for(reply, "-", context.tenant)
        stored, count, total = pairs(replies[0]), replies[1], replies[2]
        counted = stored.get("places") == "kept"
        size = int(total or 0) if counted and owner is None else None
        return Usage(count if counted else None, size, TenantLimits.from_stored(stored))

    return Operation((("HGETALL", keys.limits), ("ZCARD", live), ("HGET", keys.places, "/bytes")), parse)
