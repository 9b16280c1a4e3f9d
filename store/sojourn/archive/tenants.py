"""The archive's copy of what Redis knows of tenants beside their sessions: limits, and partitions of their own.

Who changes them puts the tenant into a set in Redis; the next archive run copies what it finds then, and takes it out.
A run that comes between that and the change copies again before it acknowledges the change's own event.
After a disaster they come back before the sessions do, since they tell where those belong, and which take places.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sojourn.archive.database import Connection, statement
from sojourn.archive.sink import TENANTS_LOCK, lock_partition
from sojourn.codec import Models
from sojourn.errors import TenantClosed
from sojourn.keys import CHANGED_TENANTS, COPIED_TENANTS, Homes
from sojourn.logs import Log
from sojourn.operations.core import Operation, all_of, pairs, raise_for
from sojourn.operations.homes import homes
from sojourn.operations.quotas import set_limits_flow
from sojourn.operations.tenancy import CLOSED
from sojourn.quotas import TenantLimits
from sojourn.settings import Settings
from sojourn.tenants.isolate import isolate

__all__ = ["COPIED_ACTIONS", "bring_back", "bring_back_partitions", "copy_tenants", "tenants_wait"]

TenantRow = tuple[Any, ...]
"""Name, partition or None, limits."""
LOG: Final = Log("sojourn.archive")
Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]
COPIED_ACTIONS: Final = frozenset({"tenant.isolate", "tenant.limits"})
"""What events say of a tenant when what is copied has changed."""
_AT_ONCE: Final = 500
_OF: Final = "/"
"""Between a run and the tenant that it copies; in neither of the two."""


def copy_tenants(
    settings: Settings, execute: Execute, connection: Connection, named: Collection[str] = (), *, wait: bool = False
) -> int:
    """Copy tenants that have changed to the archive; how many those were.

    Runs follow each other, so an older state is never written over a newer one. Who changes a tenant marks it as
    changed; that mark is exchanged for one of this run, which goes when the copy is committed. Killed anywhere, the
    next run does it anew, and takes no mark away that was set since.

    Args:
        settings: where Redis is.
        execute: executes operations on it.
        connection: to the archive.
        named: tenants of which an event says that they changed: to be copied before that is acknowledged.
        wait: wait for another run that is at it; else it is left to the next time.

    Raises:
        PartitionBusy: waited in vain.
    """
    with connection.transaction():
        if not lock_partition(connection, TENANTS_LOCK, wait=wait):
            return 0
        changed, begun = _ask(execute, ("SRANDMEMBER", CHANGED_TENANTS, _AT_ONCE), ("SMEMBERS", COPIED_TENANTS))
        tenants = sorted({*named, *changed, *(each.rpartition(_OF)[2] for each in begun)})
        if not tenants:
            return 0
        run = secrets.token_hex(8)
        own = [f"{run}{_OF}{each}" for each in changed]
        if changed:
            _ask(execute, ("SADD", COPIED_TENANTS, *own), ("SREM", CHANGED_TENANTS, *changed))
        where: Homes = _do(execute, homes(settings.partitions))
        found = _ask(execute, *(("HGETALL", where.of(each).limits) for each in tenants))
        states = {each: pairs(limits) for each, limits in zip(tenants, found, strict=True)}
        rows = [
            {"tenant": each, "partition": where.isolated.get(each), "limits": _limits(stored)}
            for each, stored in states.items() if CLOSED not in stored  # it is being deleted, here too
        ]  # fmt: skip
        connection.execute(statement("store_tenants"), {"rows": json.dumps(rows)})
    if marks := [*begun, *own]:
        _ask(execute, ("SREM", COPIED_TENANTS, *marks))
    return len(tenants)


def tenants_wait() -> Operation[bool]:
    """Whether a tenant waits to be copied."""

    def parse(replies: list[Any]) -> bool:
        for reply in replies:
            raise_for(reply, "-", "-")
        return any(replies)

    return Operation((("SCARD", CHANGED_TENANTS), ("SCARD", COPIED_TENANTS)), parse)


def _limits(stored: dict[str, str]) -> dict[str, str]:
    """Without the marks that belong to this Redis; and what is no limit is none."""
    return {name: text for name, text in TenantLimits.from_stored(stored).to_stored().items() if text}


def bring_back(settings: Settings, execute: Execute, connection: Connection, tenant: str | None, actor: str) -> None:
    """Give tenants their partitions and limits again, where Redis knows of none.

    Args:
        settings: where Redis is.
        execute: executes operations on it.
        connection: to the archive.
        tenant: only this one; None: all.
        actor: who, for the events.
    """
    rows = bring_back_partitions(settings, execute, connection, tenant, actor)
    where: Homes = _do(execute, homes(settings.partitions))
    for name, _, stored in rows:
        limits = TenantLimits.from_stored(stored)
        held = TenantLimits.from_stored(pairs(_ask(execute, ("HGETALL", where.of(name).limits))[0]))
        if limits == TenantLimits() or held != TenantLimits():
            continue
        given = {each: value for each, value in limits if value is not None}
        flow = set_limits_flow(settings.context(Models([]), actor=actor).of(where.of(name)), given)
        result: Any = None
        while True:
            try:
                result = _do(execute, flow.send(result))
            except StopIteration:
                break


def bring_back_partitions(
    settings: Settings, execute: Execute, connection: Connection, tenant: str | None, actor: str
) -> list[TenantRow]:
    """The first half of `bring_back`; what the archive holds of the tenants, but for those that are being deleted."""
    known: Homes = _do(execute, homes(settings.partitions))
    rows = []
    for row in connection.execute(statement("kept_tenants"), {"tenant": tenant}).fetchall():
        name, partition, _ = row
        try:
            if partition is not None and known.isolated.get(name) != partition:
                isolate(settings, name, actor=actor, partition=partition)
            rows.append(row)
        except TenantClosed:
            LOG.warning("tenant is not brought back", tenant=name, reason="it is being deleted")
    return rows


def _do(execute: Execute, operation: Operation[Any]) -> Any:
    return operation.parse(execute([operation])[0])


def _ask(execute: Execute, *commands: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = _do(execute, all_of(commands))
    return found
