"""In which partition each tenant's keys are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sojourn.keys.names import check_tenant
from sojourn.keys.schema import FIRST_ISOLATED, PartitionKeys, TenantKeys

__all__ = ["Homes"]


@dataclass(frozen=True)
class Homes:
    """Where the tenants' keys are: most share partitions, and some have one of their own.

    Example:
        >>> homes = Homes(64, {"acme": 100})
        >>> homes.of("acme").partition.number, homes.of("other").partition.number
        (100, 33)
    """

    shared: int
    """How many partitions are shared."""
    isolated: Mapping[str, int] = field(default_factory=dict)
    """The partitions of tenants that have their own."""

    def of(self, tenant: str) -> TenantKeys:
        """The tenant's keys.

        Raises:
            InvalidName: not a tenant's name.
        """
        number = self.isolated.get(tenant)
        if number is None:
            return TenantKeys.of(tenant, self.shared)
        return TenantKeys(check_tenant(tenant), PartitionKeys(number))

    def places(self, tenant: str) -> tuple[TenantKeys, ...]:
        """Where keys of the tenant may be: at home, and where it was before it got a partition of its own.

        Raises:
            InvalidName: not a tenant's name.
        """
        home, before = self.of(tenant), TenantKeys.of(tenant, self.shared)
        return (home,) if home == before else (home, before)

    def within(self, tenant: str, number: int) -> TenantKeys | None:
        """The tenant's keys in that partition; None where it cannot have any."""
        if number >= FIRST_ISOLATED:  # it may have been given out a moment ago
            return TenantKeys(tenant, PartitionKeys(number))
        keys = TenantKeys.of(tenant, self.shared)
        return keys if keys.partition.number == number else None

    def has(self, tenant: str, number: int) -> bool:
        """Whether what is told in that partition may be about the tenant.

        In one that is of one tenant alone, whoever is confined to it can write what he likes: all that is told there is
        about that tenant. Those that are shared are written by who serves all.

        Example:
            >>> homes = Homes(64, {"acme": 100})
            >>> homes.has("acme", 100), homes.has("other", 100), homes.has("other", 56)
            (True, False, True)
        """
        return number < FIRST_ISOLATED or self.isolated.get(tenant) == number

    @cached_property
    def partitions(self) -> tuple[PartitionKeys, ...]:
        """Every partition's keys."""
        return tuple(PartitionKeys(number) for number in (*range(self.shared), *sorted(set(self.isolated.values()))))
