"""Giving a tenant a partition of its own, so that a Redis login can be confined to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from sojourn.errors import SojournError, TenantClosed
from sojourn.keys import CHANGED_TENANTS, TENANTS, PartitionKeys, TenantKeys, check_tenant, is_id, parse_member
from sojourn.models import Status
from sojourn.operations.admin import administered
from sojourn.operations.core import Operation, pairs
from sojourn.operations.homes import Home, allot, find_home, note
from sojourn.operations.tenancy import CLOSED, HOME, MOVED, PLACES, move_sessions
from sojourn.settings import Settings
from sojourn.tenants.grants import grants
from sojourn.tenants.link import AT_ONCE, Link, escaped, stretches

__all__ = ["IsolateReport", "isolate"]

Progress = Callable[[int, int], None]
_ANNOUNCED_S: Final = 1.2
"""Clients and workers look again where a tenant is when what they know is a second old."""


@dataclass
class IsolateReport:
    """What giving a tenant its own partition took.

    Example:
        >>> IsolateReport("acme", 100, sessions=3).to_json()["partition"]
        100
    """

    tenant: str
    partition: int
    already: bool = False
    """Whether it had it before."""
    sessions: int = 0
    """Moved by this call."""
    keys: int = 0
    """Other keys of it that were moved."""
    resumed: bool = False
    """Whether this call went on where an earlier one was cut short."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def isolate(
    settings: Settings, tenant: str, *, actor: str = "", partition: int | None = None, progress: Progress | None = None
) -> IsolateReport:
    """Give a tenant a partition of its own, and move there what it has. Clients and workers may be at work meanwhile.

    Cut short, the next call goes on. Events that wait in the outbox of the shared partition are handled there.

    Args:
        settings: where Redis is.
        tenant: the tenant; one that has no sessions yet, too.
        actor: who does it, for the event.
        partition: the number that it had before Redis lost its data, if that is free.
        progress: is told how many sessions were moved, and how many there are in all.

    Raises:
        InvalidName: not a tenant's name.
        TenantClosed: it is being deleted.
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> isolate(load_settings(), "acme").partition  # doctest: +SKIP
        100
    """
    check_tenant(tenant)
    with Link(settings, actor) as link:
        link.open()
        return _Move(link, tenant, progress or (lambda done, total: None)).run(partition)


class _Move:
    def __init__(self, link: Link, tenant: str, tell: Progress) -> None:
        self._link = link
        self._tell = tell
        self._old = TenantKeys.of(tenant, link.settings.partitions)

    def run(self, wanted: int | None) -> IsolateReport:
        """Do it."""
        link, old = self._link, self._old
        tenant = old.tenant
        ((closed, marked),) = link.ask(("HMGET", old.limits, CLOSED, MOVED))
        if closed is not None:
            raise TenantClosed(tenant)
        number = self._allot(wanted)
        new = TenantKeys(tenant, PartitionKeys(number))
        home = link.run(find_home(tenant, link.settings.partitions))
        report = IsolateReport(tenant, number, resumed=home.moving)
        if home.keys == new and not home.moving:
            report.already = True
            return report
        self._announce(new, marked)
        self._move(new, report)
        link.ask(("HSET", new.limits, HOME, 1))
        self._join_groups(new)
        link.ask(note(Home(new, old.partition)), ("SADD", CHANGED_TENANTS, tenant))
        link.run(administered(link.context(new), "tenant.isolate", partition=number, sessions=report.sessions))
        return report

    def _allot(self, wanted: int | None) -> int:
        """A number to which no Redis user of another tenant has been confined, before Redis lost its data, say."""
        granted = grants(self._link)
        own = [each.partition for each in granted if each.tenant == self._old.tenant]
        others = [each.partition for each in granted if each.tenant != self._old.tenant]
        if wanted is None and own:
            wanted = own[0]
        number, _ = self._link.run(
            allot(self._old.tenant, wanted if wanted not in others else None, above=max(others, default=0))
        )
        return number

    def _announce(self, new: TenantKeys, marked: str | None) -> None:
        """From now on new sessions are created there; and who misses one waits until all are there."""
        link, old = self._link, self._old
        if marked is None:
            (limits,) = link.ask(("HGETALL", old.limits))
            texts = [part for pair in pairs(limits).items() for part in pair]
            if texts:
                link.ask(("HSET", new.limits, *texts))
        link.ask(("SADD", TENANTS, old.tenant))
        (places,) = link.ask(("HGET", new.limits, PLACES))
        if places is None:
            link.ask(("HSET", new.limits, HOME, 1))
        # Else what lives is counted in two places until all is moved, so nothing may be created in either.
        link.ask(note(Home(new, old.partition, moving=True)))
        link.ask(("HSET", old.limits, MOVED, new.partition.number))
        if self._has_sessions():
            time.sleep(_ANNOUNCED_S)

    def _has_sessions(self) -> bool:
        return any(self._link.scan("SCAN", None, escaped(self._old.prefix) + "session:*"))

    def _move(self, new: TenantKeys, report: IsolateReport) -> None:
        link, old = self._link, self._old
        indexes = self._indexes()
        total = sum(self._link.ask(*(("ZCARD", each) for each in indexes))) if indexes else 0
        self._tell(0, total)
        for ids in self._ids(indexes):
            report.sessions += link.run_all(ids, lambda some: move_sessions(old, new, some))
            self._tell(report.sessions, max(total, report.sessions))
        for keys in self._link.scan("SCAN", None, escaped(old.prefix) + "*"):
            for key in keys:
                if _counts_places(old, key):
                    link.ask(("DEL", key))  # what is left there is of records that are gone
                elif key not in (old.limits, old.kinds, old.stats, old.calls):
                    report.keys += self._rename(key, new.prefix + key.removeprefix(old.prefix))
        link.run(move_sessions(old, new, []))
        kinds = self._link.ask(("SMEMBERS", old.kinds))[0]
        if kinds:
            self._link.ask(("SADD", new.kinds, *kinds), ("DEL", old.kinds))

    def _indexes(self) -> list[str]:
        (kinds,) = self._link.ask(("SMEMBERS", self._old.kinds))
        return [self._old.status_index(kind, status) for kind in kinds if kind.isascii() for status in Status]

    def _ids(self, indexes: list[str]) -> Iterator[list[str]]:
        """All sessions that are left here: those listed, and then those that no index tells of."""
        for index in indexes:
            before: list[str] = []
            while (found := self._link.ask(("ZRANGE", index, 0, AT_ONCE - 1))[0]) and found != before:
                yield list(filter(is_id, found))
                before = found
        start = self._old.prefix + "session:"
        for keys in self._link.scan("SCAN", None, escaped(start) + "*"):
            yield from stretches(filter(is_id, (key.removeprefix(start) for key in keys)))
        partition = self._old.partition
        shared = [("ZSCAN", key) for key in (partition.deadlines, partition.dirty, partition.removals)]
        for command, key in (*shared, ("ZSCAN", partition.removed), ("SSCAN", partition.lost)):
            for members in self._link.scan(command, key, escaped(self._old.tenant) + "/*"):
                yield from stretches(parse_member(each)[1] for each in members if _is_member(each))

    def _rename(self, key: str, new: str) -> int:
        """Whatever else there is of the tenant. Where both places have it, one of one kind is added to the other."""
        name, other = key.encode("utf-8", "surrogateescape"), new.encode("utf-8", "surrogateescape")

        def parse(replies: list[Any]) -> int:
            return int(replies[0] == 1)  # an error: it went meanwhile, as tokens do

        if self._link.run(Operation((("RENAMENX", name, other),), parse)):
            return 1
        (kind,) = self._link.ask(("TYPE", name))
        if kind == "zset":
            self._link.ask(("ZUNIONSTORE", other, 2, other, name, "AGGREGATE", "MAX"), ("DEL", name))
        elif kind == "set":
            self._link.ask(("SUNIONSTORE", other, other, name), ("DEL", name))
        return int(kind in ("zset", "set"))

    def _join_groups(self, new: TenantKeys) -> None:
        """Its consumer groups are to find all events of the new outbox."""
        for name in groups_of(self._link, self._old):
            command = ("XGROUP", "CREATE", new.partition.events, name, "0", "MKSTREAM")
            self._link.run(Operation((command,), lambda _: None))  # those that exist keep their place


def _counts_places(keys: TenantKeys, key: str) -> bool:
    return key in (keys.places, keys.live) or key.startswith(keys.live_of(""))


def groups_of(link: Link, keys: TenantKeys) -> list[str]:
    """The tenant's own consumer groups in its partition's outbox."""

    def parse(replies: list[Any]) -> list[str]:
        found = replies[0] if isinstance(replies[0], list) else []  # an error: there is no outbox yet
        return [str(pairs(each)["name"]) for each in found]

    names = link.run(Operation((("XINFO", "GROUPS", keys.partition.events),), parse))
    return [each for each in names if each.startswith(f"{keys.tenant}:")]


def _is_member(text: str) -> bool:
    try:
        parse_member(text)
    except SojournError:
        return False
    return True
