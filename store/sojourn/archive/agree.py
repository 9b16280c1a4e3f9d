"""When one of the two, Redis or the archive, was restored from an older copy: finding out, and bringing it up.

The archive notes the last event of each partition that it holds, in the transaction that stores it, before the
archive's consumer group acknowledges it in Redis. So in two that went on as they were, the note is never behind what
is acknowledged, and never ahead of what the group was given.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any, Final

from sojourn.archive import source
from sojourn.archive.database import Connection, statement
from sojourn.archive.loader import Execute, Loader
from sojourn.archive.rows import rows_json, session_key
from sojourn.archive.sink import note_partition, place_of
from sojourn.codec import datetime_from
from sojourn.events import ARCHIVE_GROUP
from sojourn.keys import CHECKED, PartitionKeys, partition_for
from sojourn.operations.core import Operation, raise_for
from sojourn.operations.read import open_layout
from sojourn.operations.strays import mark_flow
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["archive_again", "bring_up_archive", "bring_up_redis", "mark_all", "note_checked", "unchecked_run"]

_BATCH: Final = 200
_MARGIN: Final = timedelta(minutes=1)
"""Clocks of two servers may differ by so much."""
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
log = logging.getLogger("sojourn.archive")

Noted = Mapping[int, tuple[int, int]]


def unchecked_run() -> Operation[str | None]:
    """The server's run, if it has not been held against the archive yet: a restored Redis is another run."""

    def parse(replies: list[Any]) -> str | None:
        for reply in replies:
            raise_for(reply, "-", "-")
        told, checked = replies
        run = told.get("run_id") if isinstance(told, dict) else _field(str(told), "run_id")
        return None if run == checked else str(run)

    return Operation((("INFO", "server"), ("GET", CHECKED)), parse)


def _field(told: str, name: str) -> str:
    return next((line.partition(":")[2] for line in told.splitlines() if line.startswith(f"{name}:")), "")


def note_checked(run: str) -> Operation[None]:
    """Note that this run of the server was held against the archive."""

    def parse(replies: list[Any]) -> None:
        raise_for(replies[0], "-", "-")

    return Operation((("SET", CHECKED, run),), parse)


def _noted(connection: Connection) -> Noted:
    found = connection.execute("SELECT number, last_ms, last_sequence FROM sojourn.partitions").fetchall()
    return {number: (last_ms, last_sequence) for number, last_ms, last_sequence in found}


def bring_up_archive(
    settings: Settings, execute: Execute, connection: Connection, seen: Mapping[PartitionKeys, source.Waiting]
) -> int:
    """Where the archive is behind what was acknowledged, have all sessions archived again; how many.

    `seen` was read from Redis before; other runs may have gone on since.
    """
    noted = _noted(connection)
    behind = {
        each: found.delivered
        for each, found in seen.items()
        if found.joined and not found.pending and noted.get(each.number, (0, 0)) < place_of(found.delivered)
    }
    if not behind:
        return 0
    log.error(
        "the archive is behind Redis in %d partitions, as when it is new, or was restored from an older copy: all "
        "their sessions are archived again; events that Redis no longer holds are missing", len(behind),
    )  # fmt: skip
    marked = mark_all(settings, execute, list(behind))
    for partition, delivered in behind.items():
        note_partition(connection, partition.number, delivered)
    return marked


def mark_all(settings: Settings, execute: Execute, partitions: Sequence[PartitionKeys]) -> int:
    """Have all sessions of these partitions archived again; how many were not in line before."""
    flow = mark_flow(settings.partitions, partitions)
    result: Any = None
    while True:
        try:
            operation = flow.send(result)
        except StopIteration as stop:
            return int(stop.value)
        result = operation.parse(execute([operation])[0])


def archive_again(settings: Settings) -> int:
    """Have all sessions in Redis archived again by the runs that follow; how many were not in line before.

    For an archive that lost what it had acknowledged; runs find that out by themselves when they have something to do.

    Raises:
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> archive_again(load_settings())  # doctest: +SKIP
        12000
    """
    transport = Transport(settings)
    with closing(transport):
        look, _ = open_layout(settings.partitions)
        look.parse(transport.execute([look])[0])
        return mark_all(settings, transport.execute, settings.all_partitions)


def bring_up_redis(settings: Settings, execute: Execute, connection: Connection) -> Counter[str]:
    """Where Redis is behind the archive, put back what is newer in there.

    Returns:
        How many sessions came to which outcome (see ``lua/rehydrate_session.lua``); empty where Redis is not behind.
    """
    noted = _noted(connection)
    # In this order: another run may be at work, and both go forward.
    partitions = [each for each in settings.all_partitions if each.number in noted]
    probes = [source.probe(each, ARCHIVE_GROUP) for each in partitions]
    given = [probe.parse(own).delivered for probe, own in zip(probes, execute(probes), strict=True)]
    behind = {
        each: delivered
        for each, delivered in zip(partitions, given, strict=True)
        if place_of(delivered) < noted[each.number]
    }
    emptied = [each for each, delivered in behind.items() if place_of(delivered) == (0, 0)]
    if emptied:  # somebody may have meant to; and filling it runs the hooks of all that has expired since
        log.error(
            "%d partitions of Redis are empty, but the archive knows of events in them: if Redis lost its data, "
            "'sojourn rehydrate' puts the live sessions back", len(emptied),
        )  # fmt: skip
    restored = {each: delivered for each, delivered in behind.items() if each not in emptied}
    outcomes: Counter[str] = Counter()
    if restored:
        log.error("Redis is behind the archive in %d partitions, as when restored from an older copy", len(restored))
        outcomes = _put_back(settings, execute, connection, restored)
        log.error("put back into Redis what the archive held newer: %s", dict(outcomes) or "nothing")
        execute([Operation(tuple(("HINCRBY", each.counts, "restored", 1) for each in restored), lambda _: None)])
    for partition, delivered in behind.items():
        note_partition(connection, partition.number, delivered, force=True)
    return outcomes


def _put_back(
    settings: Settings, execute: Execute, connection: Connection, restored: Mapping[PartitionKeys, str]
) -> Counter[str]:
    loader = Loader(settings, execute, connection, "archive")
    since = {each.number: datetime_from(place_of(delivered)[0]) - _MARGIN for each, delivered in restored.items()}
    outcomes: Counter[str] = Counter()
    for (tenant,) in connection.execute(statement("tenants")).fetchall():
        number = partition_for(tenant, "", settings.partitions)
        after = _NOBODY
        while number in since:
            rows = loader.read("changed_sessions", tenant=tenant, since=since[number], after_id=after, limit=_BATCH)
            if not rows:
                break
            found = loader.load(rows)
            outcomes.update(found)
            # What went on in Redis from the older state takes the place of the newer one's later versions.
            kept = [row[:2] for row, outcome in zip(rows, found, strict=True) if outcome == "newer"]
            connection.execute(statement("keep_snapshots"), {"keys": rows_json([session_key(*each) for each in kept])})
            after = rows[-1][1]
    return outcomes
