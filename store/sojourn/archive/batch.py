"""One batch of one partition: read from Redis, made into rows, and told to Redis once it is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sojourn.archive import source
from sojourn.archive.exact import embeddable_entries
from sojourn.archive.rows import ARCHIVED, Damage, entry_row, event_row, session_row
from sojourn.codec import Models
from sojourn.errors import SessionCorrupt, SojournError
from sojourn.keys import PartitionKeys, TenantKeys, parse_member
from sojourn.operations.core import Operation

__all__ = ["Batch", "Execute", "Item", "damaged_event", "read_batch", "results"]

T = TypeVar("T")
Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]
log = logging.getLogger("sojourn.archive")

ENTRIES_PER_ROUND: Final = 2_000
"""Log entries that one batch reads at most: an entry may take 64 KiB, and a log hold 10,000."""


@dataclass
class Item:
    """One dirty session."""

    member: str
    keys: TenantKeys
    id: str
    stored: dict[str, str] = field(default_factory=dict)
    row: str = ""
    entries: list[tuple[str, int, str]] = field(default_factory=list)
    """Log, position and row."""
    logs: dict[str, int] = field(default_factory=dict)
    """How many entries of each log the archive holds once these are committed."""
    partial: bool = False
    """Whether there is more in its logs than this batch takes."""
    damage: str = ""
    """The field that cannot be archived."""

    @property
    def key(self) -> tuple[str, str]:
        """How PostgreSQL names it."""
        return self.keys.tenant, self.id

    @property
    def is_gone(self) -> bool:
        """Whether Redis has no record of it any more."""
        return not self.stored and not self.damage

    def damaged(self, name: str) -> None:
        """Note the first field that cannot be archived; tell it without its value."""
        if not self.damage:
            self.damage = name
            log.warning(
                "session %s of tenant '%s' cannot be archived: its field '%s' is damaged; it stays in Redis",
                self.id, self.keys.tenant, name,
            )  # fmt: skip


@dataclass
class Batch:
    """What one round takes from a partition."""

    partition: PartitionKeys
    items: list[Item] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    """Members that name no session."""
    events: list[tuple[str, str]] = field(default_factory=list)
    """Event id and row."""
    event_ids: tuple[str, ...] = ()
    """Ids in the stream, to be acknowledged."""
    damaged_events: int = 0
    more: bool = False


def results(execute: Execute, operations: Sequence[Operation[T]]) -> list[T]:
    """Run operations and read their results."""
    replies = execute(operations)
    return [each.parse(own) for each, own in zip(operations, replies, strict=True)]


def read_batch(
    execute: Execute,
    models: Models,
    partition: PartitionKeys,
    until_ms: int,
    limit: int,
    skip: AbstractSet[str],
    events: Operation[source.Taken] | None,
) -> Batch:
    """Read up to `limit` dirty sessions, except those in `skip`, and the events."""
    batch = Batch(partition)
    found = results(execute, [source.dirty(partition, until_ms, limit + len(skip))])[0]
    batch.more = len(found) >= limit + len(skip)
    for member in found:
        if member in skip:
            continue
        try:
            tenant, session_id = parse_member(member)
        except SojournError:
            batch.strangers.append(member)
            continue
        batch.items.append(Item(member, TenantKeys(tenant, partition), session_id))
    if batch.items:
        _read_records(execute, models, batch.items)
        _read_logs(execute, models, [each for each in batch.items if each.row and each.stored.get("_logs")])
        batch.more = batch.more or any(each.partial for each in batch.items)
    if events is not None:
        _read_events(execute, batch, events)
    return batch


def _read_records(execute: Execute, models: Models, items: list[Item]) -> None:
    records = [source.record(each.keys, each.id) for each in items]
    replies = execute(records)
    for item, operation, own in zip(items, records, replies, strict=True):
        try:
            item.stored = operation.parse(own)
        except SessionCorrupt as error:
            item.damaged(error.field)
        if not item.stored:
            continue
        try:
            item.row = session_row(item.stored, *item.key, models.codec(item.stored.get("kind", "")))
        except Damage as damage:
            item.damaged(damage.field)


def _read_logs(execute: Execute, models: Models, items: list[Item]) -> None:
    if not items:
        return
    names = [[name for name in each.stored["_logs"].split(",") if name] for each in items]
    lengths = results(
        execute, [source.log_lengths(each.keys, each.id, own) for each, own in zip(items, names, strict=True)]
    )
    wanted: list[tuple[Item, str, int, Operation[list[str]]]] = []
    left = ENTRIES_PER_ROUND
    for item, own in zip(items, lengths, strict=True):
        for name, length in own.items():
            if length is None:
                item.damaged(name)
                continue
            start = _archived(item, name)
            count = min(left, length - start)
            item.partial = item.partial or length - start > left
            if count > 0:
                left -= count
                wanted.append((item, name, start, source.log_part(item.keys, item.id, name, start, count)))
    parts = results(execute, [each[-1] for each in wanted])
    for (item, name, start, _), part in zip(wanted, parts, strict=True):
        embed = embeddable_entries(models.codec(item.stored["kind"]), name)
        item.logs[name] = start
        for position, text in enumerate(part, start):
            try:
                item.entries.append((name, position, entry_row(*item.key, name, position, text, embed=embed)))
            except Damage:
                item.damaged(name)
                break
            item.logs[name] = position + 1


def _archived(item: Item, name: str) -> int:
    text = item.stored.get(ARCHIVED + name, "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def _read_events(execute: Execute, batch: Batch, operation: Operation[source.Taken]) -> None:
    taken = results(execute, [operation])[0]
    batch.event_ids = taken.ids
    batch.more = batch.more or taken.more
    for event in taken.events:
        try:
            batch.events.append((event.id, event_row(event)))
        except Damage as damage:
            damaged_event(batch, event.id, damage.field)
    unread = len(taken.ids) - len(taken.events)
    if unread:
        log.warning("partition %d: %d events are gone or cannot be read", batch.partition.number, unread)
        batch.damaged_events += unread


def damaged_event(batch: Batch, event_id: str, name: str) -> None:
    """Note an event that cannot be archived."""
    batch.damaged_events += 1
    log.warning("event %s cannot be archived: its field '%s' is damaged; it is left out", event_id, name)
