"""Where the tenants' keys are: reading it, and giving a tenant a partition of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sojourn.errors import StoreError
from sojourn.keys import (
    FIRST_ISOLATED,
    ISOLATED,
    LAST_ISOLATED,
    Homes,
    PartitionKeys,
    TenantKeys,
    check_tenant,
    is_partition,
    is_tenant,
    partition_note,
)
from sojourn.operations.core import Command, Operation, call, pairs, raise_for
from sojourn.operations.tenancy import HOME

__all__ = ["Home", "allot", "find_home", "homes", "is_open", "note"]


@dataclass(frozen=True)
class Home:
    """Where one tenant's keys are."""

    keys: TenantKeys
    former: PartitionKeys | None = None
    """The partition that it shared before."""
    moving: bool = False
    """Whether some of its sessions are still there."""


def homes(shared: int) -> Operation[Homes]:
    """Where all tenants' keys are, for those who serve all of them.

    Args:
        shared: how many partitions are shared.
    """

    def parse(replies: list[Any]) -> Homes:
        raise_for(replies[0], "-", "-")
        found = {}
        for tenant, text in pairs(replies[0]).items():
            number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
            if number >= FIRST_ISOLATED and is_partition(number, shared) and is_tenant(tenant):
                found[tenant] = number
        return Homes(shared, found)

    return Operation((("HGETALL", ISOLATED),), parse)


def find_home(tenant: str, shared: int) -> Operation[Home]:
    """Where one tenant's keys are. It is all that a client may read of it who is confined to that tenant.

    Raises:
        StoreError: what is noted there is no partition, or may not be read.
    """

    def parse(replies: list[Any]) -> Home:
        raise_for(replies[0], "-", tenant)
        before = TenantKeys.of(tenant, shared)
        if replies[0] is None:
            return Home(before)
        words = str(replies[0]).split(" ")
        numbers = [int(each) for each in words[:2] if each.isascii() and each.isdecimal() and len(each) < 10]
        if not numbers or not is_partition(numbers[0], shared) or numbers[0] < FIRST_ISOLATED:
            raise StoreError(f"the key {partition_note(tenant)} names no partition: other hands wrote it")
        former = PartitionKeys(numbers[1]) if len(numbers) == 2 else None
        return Home(TenantKeys(tenant, PartitionKeys(numbers[0])), former, moving=words[2:] == ["moving"])

    return Operation((("GET", partition_note(tenant)),), parse)


def is_open(keys: TenantKeys) -> Operation[bool]:
    """Whether a partition that is to be a tenant's own takes new sessions.

    Where the tenant has limits on them it does not before all are there: nobody could count them in two places.
    """

    def parse(replies: list[Any]) -> bool:
        raise_for(replies[0], "-", keys.tenant)
        return bool(replies[0] != [None])

    return Operation((("HMGET", keys.limits, HOME),), parse)


def note(home: Home) -> Command:
    """The command that writes down what `find_home` reads."""
    words = [str(home.keys.partition.number)]
    if home.former is not None:
        words += [str(home.former.number), *["moving"] * home.moving]
    return ("SET", partition_note(home.keys.tenant), " ".join(words))


def allot(tenant: str, wanted: int | None = None, *, above: int = 0) -> Operation[tuple[int, bool]]:
    """Give a tenant a partition of its own; its number, and whether it has it only since now.

    Args:
        tenant: the tenant.
        wanted: the number that it had before Redis lost its data.
        above: any other is to be higher than this.
    """

    def parse(reply: Any) -> tuple[int, bool]:
        raise_for(reply, "-", tenant)
        return int(reply[0]), bool(reply[1])

    args = (check_tenant(tenant), max(FIRST_ISOLATED, above + 1), "" if wanted is None else wanted, LAST_ISOLATED)
    return call("isolate_tenant", [ISOLATED], args, parse)
