"""Inspecting a session: Redis, the queues and the archive, one after the other."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final

from sojourn.errors import ArchiveError, SessionCorrupt, SojournError, StoreError, StoreUnavailable
from sojourn.inspection.archived import archive_items, archived_record, archived_tenants
from sojourn.inspection.commands import RedisCli
from sojourn.inspection.happenings import event_items, happening_flow, read_events, stale_flow
from sojourn.inspection.jobs import job_items
from sojourn.inspection.keys import Found, key_flow
from sojourn.inspection.model import Inspection, State
from sojourn.keys import TENANTS, TenantKeys, check_id, check_tenant
from sojourn.operations.core import Operation, all_of
from sojourn.operations.homes import find_home, homes
from sojourn.operations.read import open_layout
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["inspect"]

_TENANTS: Final = 10_000
"""Tenants that are asked whether a session is theirs, where it is not of the one that was named."""


def inspect(settings: Settings, session_id: str, *, tenant: str | None = None) -> Inspection:
    """Look at everything that belongs to a session, in some ten round trips; changes nothing.

    What is not as it should be is marked: an index entry that is missing, a lease without a deadline, a record
    without a TTL. What cannot be looked at, such as an archive that is away, is told in `unseen`.

    Args:
        settings: where Redis, the queues and the archive are.
        session_id: which session.
        tenant: whose; None: the one that the settings name.

    Raises:
        InvalidId, InvalidName: not a session's id, or a tenant's name.
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> [each.what for each in inspect(load_settings(), session.id).drift]  # doctest: +SKIP
        []
    """
    own, tenant = check_id(session_id), check_tenant(settings.tenant if tenant is None else tenant)
    link = _Link(settings)
    try:
        return _inspect(link, settings, tenant, own)
    finally:
        link.close()


class _Link(Transport):
    """The transport, and a driver for flows."""

    def drive(self, flow: Generator[Operation[Any], Any, Any]) -> Any:
        """Execute what a flow yields; its result."""
        result: Any = None
        while True:
            try:
                operation = flow.send(result)
            except StopIteration as stop:
                return stop.value
            result = operation.parse(self.execute([operation])[0])


def _once(operation: Operation[Any]) -> Generator[Operation[Any], Any, Any]:
    return (yield operation)


def _inspect(link: _Link, settings: Settings, tenant: str, own: str) -> Inspection:
    for step in open_layout(settings.partitions):
        if link.drive(_once(step)):
            break
    home = link.drive(_once(find_home(tenant, settings.partitions)))
    keys: TenantKeys = home.keys
    if home.former is not None and not _has_record(link, keys, own):
        former = TenantKeys(tenant, home.former)
        keys = former if _has_record(link, former, own) else keys
    cli, models, unseen = RedisCli.of(settings), settings.load_models(), []
    archived, problem = archived_record(settings, tenant, own)
    found: Found = link.drive(key_flow(keys, own, models, cli, archived))
    facts, items = found.facts, found.items
    unseen += [*filter(None, [problem]), *found.refused]
    events, all_seen = link.drive(read_events(keys.partition, tenant, own))
    if not all_seen:
        unseen.append("older events: the outbox is too long to look through")
    record = dict(facts.record)
    items += link.drive(stale_flow(keys, own, record, [each.where for each in items], events, cli))
    items += event_items(events, keys.partition, cli)
    try:
        items += link.drive(happening_flow(keys, own, settings.queue_prefix, settings.hooks, events, cli))
    except StoreUnavailable:
        raise
    except StoreError as error:
        unseen.append(f"hooks: {error}")
    jobs, problem = job_items(settings, tenant, own)
    items += jobs
    unseen += filter(None, [problem])
    if settings.archive_url is not None and not any(each.startswith("the archive") for each in unseen):
        dirty = any(each.what == "waits for the archive" for each in items)
        try:
            items += archive_items(settings, tenant, own, facts, dirty=dirty)
        except ArchiveError as error:
            unseen.append(f"the archive: {error}")
    inspection = Inspection(
        session_id=own, tenant=tenant, state="missing", partition=keys.partition.number, at_ms=facts.now_ms,
        status=(record or archived).get("status"), version=_version(record or archived), items=tuple(items),
        unseen=tuple(unseen), now_id=(record or archived).get("_rotated_to"),
    )  # fmt: skip
    return _judged(link, settings, inspection, found, archived)


def _has_record(link: _Link, keys: TenantKeys, own: str) -> bool:
    try:
        return bool(link.drive(_once(all_of((("EXISTS", keys.session(own)),))))[0])
    except StoreUnavailable:
        raise
    except StoreError:  # where this login may not look
        return False


def _version(record: dict[str, str]) -> int | None:
    text = record.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _judged(
    link: _Link, settings: Settings, inspection: Inspection, found: Found, archived: dict[str, str]
) -> Inspection:
    facts = found.facts
    damage = found.damage or _damage(settings, inspection, dict(facts.record))
    if damage:
        items = tuple(
            replace(each, drift=each.drift or damage) if each.what == "record" else each for each in inspection.items
        )
        return replace(inspection, state="damaged", items=items)
    if facts.exists:
        state: State = "overdue" if facts.is_overdue else "live" if facts.is_live else "ended"
        return replace(inspection, state=state)
    if archived:
        return replace(inspection, state="archived")
    return replace(inspection, elsewhere=_elsewhere(link, settings, inspection))


def _damage(settings: Settings, inspection: Inspection, record: dict[str, str]) -> str:
    """Why the library cannot read the record; '' where it can."""
    if not record:
        return ""
    codec = settings.load_models().codec(record.get("kind", ""))
    try:
        codec.decode(record, inspection.session_id, inspection.tenant, settings.keyring)
    except SessionCorrupt as error:
        return f"cannot be read: {error}"
    return ""


def _elsewhere(link: _Link, settings: Settings, inspection: Inspection) -> tuple[str, ...]:
    """The other tenants that have a session of that id, in Redis or in the archive."""
    own = inspection.session_id
    found: set[str] = set()
    try:
        known = link.drive(_once(homes(settings.partitions)))
        (names,) = link.drive(_once(all_of((("SMEMBERS", TENANTS),))))
        tenants = [each for each in sorted({*names, *known.isolated})[:_TENANTS] if _is_tenant(each)]
        if tenants:
            there = link.drive(_once(all_of(("EXISTS", known.of(each).session(own)) for each in tenants)))
            found |= {tenant for tenant, each in zip(tenants, there, strict=True) if each}
    except StoreUnavailable:
        raise
    except StoreError:  # a login that is confined to one tenant sees no other
        return ()
    if settings.archive_url is not None:
        try:
            found |= set(archived_tenants(settings, own))
        except (SojournError, ImportError):  # that the archive is away is among what was not seen
            return tuple(sorted(found - {inspection.tenant}))
    return tuple(sorted(found - {inspection.tenant}))


def _is_tenant(name: str) -> bool:
    try:
        check_tenant(name)
    except SojournError:
        return False
    return True
