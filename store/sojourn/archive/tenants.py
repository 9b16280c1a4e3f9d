"""The archive's copy of what Redis knows of tenants beside their sessions: limits, and partitions of their own.

Who changes them puts the tenant into a set in Redis; the next archive run copies what it finds then, and takes it out.
After a disaster they come back before the sessions do, since they tell where those belong, and which take places.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from sojourn.archive.database import Connection, statement
from sojourn.codec import Models
from sojourn.keys import CHANGED_TENANTS, COPIED_TENANTS, Homes
from sojourn.operations.core import Operation, all_of, pairs
from sojourn.operations.homes import homes
from sojourn.operations.quotas import set_limits_flow
from sojourn.quotas import TenantLimits
from sojourn.settings import Settings
from sojourn.tenants.isolate import isolate

__all__ = ["bring_back", "copy_tenants"]

Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]
_AT_ONCE: Final = 500


def copy_tenants(settings: Settings, execute: Execute, connection: Connection) -> int:
    """Copy tenants that have changed to the archive; how many those were.

    A tenant stays in one of two sets until its copy is committed, and whoever changes it meanwhile puts it into the
    first again: killed anywhere, the next run does it anew.
    """
    changed, begun = _ask(execute, ("SRANDMEMBER", CHANGED_TENANTS, _AT_ONCE), ("SMEMBERS", COPIED_TENANTS))
    tenants = sorted({*changed, *begun})
    if not tenants:
        return 0
    _ask(execute, *(("SMOVE", CHANGED_TENANTS, COPIED_TENANTS, each) for each in tenants))
    where: Homes = _do(execute, homes(settings.partitions))
    found = _ask(execute, *(("HGETALL", where.of(each).limits) for each in tenants))
    rows = [
        {"tenant": each, "partition": where.isolated.get(each), "limits": _limits(pairs(limits))}
        for each, limits in zip(tenants, found, strict=True)
    ]
    connection.execute(statement("store_tenants"), {"rows": json.dumps(rows)})
    _ask(execute, ("SREM", COPIED_TENANTS, *tenants))
    return len(tenants)


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
    rows = connection.execute(statement("kept_tenants"), {"tenant": tenant}).fetchall()
    for name, partition, _ in rows:
        if partition is not None:
            isolate(settings, name, actor=actor, partition=partition)
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


def _do(execute: Execute, operation: Operation[Any]) -> Any:
    return operation.parse(execute([operation])[0])


def _ask(execute: Execute, *commands: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = _do(execute, all_of(commands))
    return found
