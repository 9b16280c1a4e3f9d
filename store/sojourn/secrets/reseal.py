"""Moving all that is sealed to the newest key, and telling what is under which."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from sojourn.codec import Models
from sojourn.errors import SettingsError
from sojourn.keys import Homes, check_tenant
from sojourn.operations.admin import administered
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.secrets.live import count_outbox, move_live
from sojourn.secrets.mover import Mover
from sojourn.secrets.report import ResealReport
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["Progress", "Stage", "reseal", "status"]

Stage = Literal["redis", "archive", "outbox"]
Progress = Callable[[Stage, int, int | None], None]
"""Told where it is, how much is done, and how much there is in all, where that is known."""


def reseal(
    settings: Settings, *, tenant: str | None = None, actor: str = "", progress: Progress | None = None
) -> ResealReport:
    """Put every secret that is sealed under an older key under the newest one, in Redis and in the archive.

    First give the new key to every process that writes. Workers and clients may be at work meanwhile: nothing that
    they write is lost. Cut short at any moment, nothing is lost either, and the next call does what is left. Events
    that are not archived yet are not touched: where the report counts some, call it again after the next archive run.

    Args:
        settings: where Redis and the archive are, and the keys.
        tenant: only this tenant's; None: those of all tenants.
        actor: who does it, for the audit: an event ``administered`` tells of it for each tenant.
        progress: is told how far it came, after each stretch.

    Raises:
        SettingsError: there is no keyring.
        InvalidName: not a tenant's name.
        StoreUnavailable, StoreFull, LayoutMismatch: Redis could not take it all.
        ArchiveUnavailable, ArchiveSchemaMismatch, ArchiveError: nor could the archive.

    Example:
        >>> reseal(load_settings(), actor="ada").moved.live  # doctest: +SKIP
        12000
    """
    if settings.keyring is None:
        raise SettingsError("there is no key to seal with: set secret_keys or secret_keys_file")
    return _run(settings, tenant, progress, moves=True, actor=actor)


def status(settings: Settings, *, tenant: str | None = None, progress: Progress | None = None) -> ResealReport:
    """What is sealed under which key; changes nothing. Without a keyring it counts, and tries to open nothing.

    Raises:
        SojournError: what `reseal` raises, but for a missing keyring.

    Example:
        >>> status(load_settings()).keys["2f9c01aa"].live  # doctest: +SKIP
        12000
    """
    return _run(settings, tenant, progress, moves=False)


def _run(
    settings: Settings, tenant: str | None, progress: Progress | None, *, moves: bool, actor: str = ""
) -> ResealReport:
    if tenant is not None:
        check_tenant(tenant)
    began = time.monotonic()
    keyring = settings.keyring
    report = ResealReport(None if keyring is None else keyring.newest)
    told = progress or (lambda stage, done, total: None)
    transport = Transport(settings)
    found = Homes(settings.partitions)

    def begin(changed: str) -> None:
        context = settings.context(Models([]), actor=actor).of(found.of(changed))
        operation = administered(context, "secrets.reseal", key=report.newest)
        operation.parse(transport.execute([operation])[0])

    mover = Mover(keyring, _models(settings), report, begin if moves else None)
    try:
        for step in open_layout(settings.partitions):
            if step.parse(transport.execute([step])[0]):
                break
        look = homes(settings.partitions)
        found = look.parse(transport.execute([look])[0])
        move_live(transport.execute, mover, tenant, lambda done, total: told("redis", done, total))
        if settings.archive_url is not None:
            _move_archived(settings, settings.archive_url, mover, tenant, told)
        partitions = found.partitions if tenant is None else [each.partition for each in found.places(tenant)]
        count_outbox(transport.execute, mover, partitions, tenant, lambda done, total: told("outbox", done, total))
    finally:
        transport.close()
    report.duration_s = time.monotonic() - began
    return report


def _move_archived(settings: Settings, url: str, mover: Mover, tenant: str | None, told: Progress) -> None:
    from sojourn.archive.database import connected  # only where there is an archive: it needs psycopg
    from sojourn.archive.schema import check_schema
    from sojourn.secrets.archived import move_archived

    with connected(url, settings.archive_timeout) as connection:
        check_schema(connection, url)
        move_archived(connection, mover, tenant, lambda done, total: told("archive", done, total))


def _models(settings: Settings) -> Models:
    """Those that can be imported here; it works without."""
    try:
        return settings.load_models()
    except SettingsError:
        return Models(())
