"""Moving a tenant's sessions to its own partition, and removing all that is a tenant's, in bounded steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sojourn.errors import StoreError
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Argument, Context, Operation, call, raise_for

__all__ = ["CLOSED", "ERASED", "HOME", "MOVED", "PLACES", "TOLD", "erase", "move_sessions", "tell_erased"]

MOVED: Final = "moved"
"""The field of a tenant's limits that says to which partition it was moved."""
PLACES: Final = "places"
"""The field that says that its live sessions are counted."""
HOME: Final = "home"
"""The field that says that this partition is the tenant's own, still."""
CLOSED: Final = "closed"
"""The field that says that the tenant is being deleted."""
ERASED: Final = "erased:"
"""How the fields begin that count what deleting it has removed."""
TOLD: Final = "told"
"""The field with what was told of that in the end."""


def move_sessions(old: TenantKeys, new: TenantKeys, ids: Sequence[str]) -> Operation[int]:
    """Move sessions from one partition to another, each as a whole; how many were there. None: what is counted."""

    def parse(reply: Any) -> int:
        raise_for(reply, "-", old.tenant)
        if int(reply) < 0:
            raise StoreError(f"tenant '{old.tenant}' is no longer marked as moved: somebody else changed its limits")
        return int(reply)

    return call("move_sessions", [old.limits], (old.partition.prefix, new.partition.prefix, old.tenant, *ids), parse)


def erase(keys: TenantKeys, what: str, items: Sequence[str], *, place: str = "", name: str = "") -> Operation[int]:
    """Remove some of what is a tenant's, and count it; how many there were.

    Args:
        keys: the tenant's.
        what: ``session``, ``key``, ``member``, ``lost``, ``event`` or ``group``.
        items: ids, keys, members or names.
        place: the key of the set or stream that they are in.
        name: what they are counted as.
    """

    def parse(reply: Any) -> int:
        raise_for(reply, "-", keys.tenant)
        if int(reply) < 0:
            raise StoreError(f"tenant '{keys.tenant}' is no longer marked as closed: somebody else changed its limits")
        return int(reply)

    texts = [each.encode("utf-8", "surrogateescape") for each in items]
    key = place.encode("utf-8", "surrogateescape")
    args: list[Argument] = [keys.partition.prefix, keys.tenant, what, key, name, *texts]
    return call("erase_tenant", [keys.limits], args, parse)


def tell_erased(context: Context, limits: str, partition: PartitionKeys, changes: str) -> Operation[str]:
    """Tell once what deleting the tenant removed; what was told, now or before."""

    def parse(reply: Any) -> str:
        raise_for(reply, "-", context.tenant)
        return str(reply)

    args = (partition.prefix, context.tenant, context.actor, context.trace, changes)
    return call("tell_erased", [limits], args, parse)
