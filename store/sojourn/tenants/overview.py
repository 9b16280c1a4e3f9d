"""Which tenants there are, and how one of them is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sojourn.errors import ArchiveError
from sojourn.keys import TenantKeys, check_tenant
from sojourn.models import LIVE, Status
from sojourn.operations.core import pairs
from sojourn.operations.homes import find_home
from sojourn.operations.tenancy import CLOSED
from sojourn.quotas import TenantLimits
from sojourn.settings import Settings
from sojourn.tenants.isolate import groups_of
from sojourn.tenants.link import AT_ONCE, Link, escaped, unknown_tenant

__all__ = ["TenantDetails", "TenantSummary", "list_tenants", "show_tenant"]


@dataclass(frozen=True)
class TenantSummary:
    """One tenant.

    Example:
        >>> TenantSummary("acme", 40, isolated=False, live=2, ended=1).total
        3
    """

    tenant: str
    partition: int
    isolated: bool
    """Whether the partition is its own."""
    live: int
    ended: int
    """In Redis still."""
    archived: int | None = None
    """Sessions that the archive holds; None where there is none, or it does not answer."""
    closed: bool = False
    """Whether it is being deleted."""

    @property
    def total(self) -> int:
        """Sessions in Redis."""
        return self.live + self.ended

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class TenantDetails:
    """What there is of one tenant.

    Example:
        >>> TenantDetails(TenantSummary("acme", 40, False, 2, 1)).to_json()["live"]
        2
    """

    summary: TenantSummary
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Sessions by kind and status."""
    moving: bool = False
    """Whether it is on the way to its own partition."""
    limits: TenantLimits = field(default_factory=TenantLimits)
    """What it may."""
    dirty: int = 0
    """Its sessions that wait for the archive."""
    events: int = 0
    """Its events that are in the outbox."""
    groups: tuple[str, ...] = ()
    """Its own consumer groups."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return self.summary.to_json() | {
            "counts": {kind: dict(each) for kind, each in self.counts.items()}, "moving": self.moving,
            "limits": self.limits.model_dump(mode="json"), "dirty": self.dirty, "events": self.events,
            "groups": list(self.groups),
        }  # fmt: skip


def list_tenants(settings: Settings) -> tuple[TenantSummary, ...]:
    """All tenants that ever had a session, by name.

    Raises:
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: it is laid out with other settings.

    Example:
        >>> [each.tenant for each in list_tenants(load_settings())]  # doctest: +SKIP
        ['acme', 'default']
    """
    with Link(settings) as link:
        link.open()
        archived = _archived(settings)
        return tuple(_summary(link, each, archived)[0] for each in sorted(link.registered()))


def show_tenant(settings: Settings, tenant: str) -> TenantDetails:
    """What there is of a tenant. Looks through what its partition's tenants share, so it takes a moment.

    Raises:
        InvalidInput: there is no such tenant.
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: it is laid out with other settings.

    Example:
        >>> show_tenant(load_settings(), "acme").counts  # doctest: +SKIP
        {'session': {'pending': 12}}
    """
    check_tenant(tenant)
    with Link(settings) as link:
        link.open()
        if tenant not in link.registered():
            raise unknown_tenant(tenant)
        summary, counts = _summary(link, tenant, _archived(settings))
        home = link.homes.of(tenant)
        (limits,) = link.ask(("HGETALL", home.limits))
        pattern = escaped(tenant) + "/*"
        return TenantDetails(
            summary=summary,
            counts=counts,
            moving=link.run(find_home(tenant, settings.partitions)).moving,
            limits=TenantLimits.from_stored(pairs(limits)),
            dirty=sum(len(some) for some in link.scan("ZSCAN", home.partition.dirty, pattern)),
            events=_events(link, home),
            groups=tuple(name.partition(":")[2] for name in sorted(groups_of(link, home))),
        )


def _summary(
    link: Link, tenant: str, archived: Mapping[str, int] | None
) -> tuple[TenantSummary, dict[str, dict[str, int]]]:
    home = link.homes.of(tenant)
    counts: dict[str, dict[str, int]] = {}
    for keys in link.homes.places(tenant):  # while it is moved, it has sessions in both
        for kind, status, number in _counted(link, keys):
            own = counts.setdefault(kind, {})
            own[status] = own.get(status, 0) + number
    (closed,) = link.ask(("HGET", home.limits, CLOSED))
    live = sum(own.get(each, 0) for own in counts.values() for each in LIVE)
    total = sum(sum(own.values()) for own in counts.values())
    known = None if archived is None else archived.get(tenant, 0)
    is_isolated = home.partition.is_isolated
    summary = TenantSummary(
        tenant, home.partition.number, is_isolated, live, total - live, known, closed=closed is not None
    )
    return summary, counts


def _counted(link: Link, keys: TenantKeys) -> list[tuple[str, str, int]]:
    (kinds,) = link.ask(("SMEMBERS", keys.kinds))
    named = [(kind, str(status)) for kind in sorted(kinds) if kind.isascii() for status in Status]
    if not named:
        return []
    numbers = link.ask(*(("ZCARD", keys.status_index(*each)) for each in named))
    return [(kind, status, number) for (kind, status), number in zip(named, numbers, strict=True) if number]


def _archived(settings: Settings) -> dict[str, int] | None:
    if settings.archive_url is None:
        return None
    from sojourn.tenants.archived import sessions_by_tenant

    try:
        return sessions_by_tenant(settings)
    except ArchiveError:
        return None


def _events(link: Link, home: TenantKeys) -> int:
    count, after = 0, "-"
    while True:
        (found,) = link.ask(("XRANGE", home.partition.events, after, "+", "COUNT", AT_ONCE))
        count += sum(pairs(fields).get("tenant") == home.tenant for _, fields in found)
        if len(found) < AT_ONCE:
            return count
        after = f"({found[-1][0]}"
