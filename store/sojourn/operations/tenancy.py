"""Moving a tenant's sessions to its own partition, and removing all that is a tenant's, in bounded steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sojourn.errors import StoreError
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Argument, Context, Operation, call, raise_for

__all__ = ["CLOSED", "ERASED", "HOME", "MOVED", "PLACES", "TOLD", "Dealt", "erase", "move_sessions", "tell_erased"]

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


class Dealt(NamedTuple):
    """What one step did."""

    found: int
    """How many there were."""
    items: int
    """Of how many: the ones behind those are for the next step."""


def move_sessions(old: TenantKeys, new: TenantKeys, ids: Sequence[str]) -> Operation[Dealt]:
    """Move sessions from one partition to another, each as a whole. None: what is counted.

    What one step has no time for is left to the next.
    """

    def parse(reply: Any) -> Dealt:
        raise_for(reply, "-", old.tenant)
        dealt = Dealt(*reply)
        if dealt.found < 0:
            raise StoreError(f"tenant '{old.tenant}' is no longer marked as moved: somebody else changed its limits")
        return dealt

    return call("move_sessions", [old.limits], (old.partition.prefix, new.partition.prefix, old.tenant, *ids), parse)


def erase(keys: TenantKeys, what: str, items: Sequence[str], *, place: str = "", name: str = "") -> Operation[Dealt]:
    """Remove some of what is a tenant's, and count it.

    What one step has no time for is left to the next.

    Args:
        keys: the tenant's.
        what: ``session``, ``key``, ``member``, ``lost``, ``event`` or ``group``.
        items: ids, keys, members or names.
        place: the key of the set or stream that they are in.
        name: what they are counted as.
    """

    def parse(reply: Any) -> Dealt:
        raise_for(reply, "-", keys.tenant)
        dealt = Dealt(*reply)
        if dealt.found < 0:
            raise StoreError(f"tenant '{keys.tenant}' is no longer marked as closed: somebody else changed its limits")
        return dealt

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
