"""One batch of one partition: read from Redis, made into rows, and told to Redis once it is committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

from sojourn.archive import source
from sojourn.archive.audit.events import Audited, audited
from sojourn.archive.exact import embeddable_entries
from sojourn.archive.records import session_row
from sojourn.archive.rows import ARCHIVED, KEEP, Damage, entry_row, event_row
from sojourn.codec import Models
from sojourn.errors import SessionCorrupt, SojournError
from sojourn.keys import Homes, PartitionKeys, TenantKeys, parse_member
from sojourn.logs import Log
from sojourn.operations.core import Operation

__all__ = ["Batch", "Execute", "Item", "Part", "Reader", "damaged_event", "results"]

T = TypeVar("T")
Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]
ReadEvents = Callable[[int, str], Operation[source.Taken]]
"""Given how many at most, and after which of those that were taken before."""
LOG: Final = Log("sojourn.archive")

PART_SESSIONS: Final = 250
"""Sessions, and events, that are read from Redis at a time, while PostgreSQL writes those before them."""
PART_BYTES: Final = 4 << 20
"""What a part's records, its log entries and its events may take each. A single one may be larger."""
BATCH_BYTES: Final = 32 << 20
"""After so much a batch ends, however few sessions it has."""
ENTRIES_PER_ROUND: Final = 2_000
"""Log entries that one part reads at most."""
_EVENTS_AT_FIRST: Final = 50
"""How large events are is only known once some are read."""
_NEW: Final = ">"


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
    """Up to which position of each log the archive holds the entries once these are committed."""
    partial: bool = False
    """Whether there is more in its logs than this batch takes."""
    damage: str = ""
    """The field that cannot be archived."""
    is_stored: bool = False
    """Whether the archive holds its record."""
    goes_on: bool = False
    """Whether the archive is to hold entries already that Redis still has."""
    again: bool = False
    """Whether it is to be archived again, logs from the beginning on: the archive turned out not to know it."""

    @property
    def key(self) -> tuple[str, str]:
        """How PostgreSQL names it."""
        return self.keys.tenant, self.id

    @property
    def is_gone(self) -> bool:
        """Whether Redis has no record of it any more."""
        return not self.stored and not self.damage

    def let_go(self) -> None:
        """It is written: keep what settling it takes, and not its values."""
        self.is_stored = bool(self.row)
        self.row = ""
        self.entries = []
        self.stored = {name: self.stored[name] for name in ("version", "updated_at_ms") if name in self.stored}

    def damaged(self, name: str) -> None:
        """Note the first field that cannot be archived; tell it without its value."""
        if not self.damage:
            self.damage = name
            LOG.warning(
                "session cannot be archived", tenant=self.keys.tenant, session_id=self.id, damaged=name,
                then="it stays in Redis",
            )  # fmt: skip


@dataclass
class Part:
    """What is written at a time."""

    items: list[Item] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    """Event id and row."""
    audited: list[Audited] = field(default_factory=list)
    """What its events tell the audit trail, in order."""


@dataclass
class Batch:
    """What one round takes from a partition."""

    partition: PartitionKeys
    items: list[Item] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    """Members that name no session."""
    event_ids: list[str] = field(default_factory=list)
    """Ids in the stream, to be acknowledged."""
    damaged_events: int = 0
    tenants: set[str] = field(default_factory=set)
    """Tenants whose limits or partitions its events say to have changed."""
    taken: tuple[int, datetime] | None = None
    """How many batches the archive has taken with this one, and when."""
    more: bool = False
    size: int = 0
    """Bytes, about."""


def results(execute: Execute, operations: Sequence[Operation[T]]) -> list[T]:
    """Run operations and read their results."""
    replies = execute(operations)
    return [each.parse(own) for each, own in zip(operations, replies, strict=True)]


class Reader:
    """Reads up to `limit` dirty sessions, except those in `skip`, and as many events, part by part.

    Only what is about tenants that `homes` has in the partition: a login confined to it can write there what it likes.
    """

    def __init__(
        self, execute: Execute, models: Models, homes: Homes, partition: PartitionKeys, until_ms: int, limit: int,
        skip: AbstractSet[str], read_events: ReadEvents | None,
    ) -> None:  # fmt: skip
        self.batch = Batch(partition)
        self._execute = execute
        self._models = models
        self._homes = homes
        self._until_ms = until_ms
        self._limit = limit
        self._skip = skip
        self._read_events = read_events
        self._after = "0"  # first those that an earlier run left
        self._next_events = min(_EVENTS_AT_FIRST, limit)
        self._events_left = limit if read_events is not None else 0

    def parts(self) -> Iterator[Part]:
        """Read the next part whenever one is asked for, the first one even if there is nothing."""
        waiting = deque(self._dirty())
        while True:
            part = Part(self._some(waiting))
            if part.items:
                _read_records(self._execute, self._models, part.items)
                with_logs = [each for each in part.items if each.row and each.stored.get("_logs")]
                self.batch.size += _read_logs(self._execute, self._models, with_logs)
            if self._read_events is not None and self._events_left:
                self._take_events(part, self._read_events)
            self.batch.items += part.items
            self.batch.more = self.batch.more or any(each.partial for each in part.items)
            yield part
            left = bool(waiting) or self._events_left > 0
            if not left or self.batch.size >= BATCH_BYTES:
                self.batch.more = self.batch.more or left
                return

    def _dirty(self) -> list[Item]:
        batch, wanted = self.batch, self._limit + len(self._skip)
        found = results(self._execute, [source.dirty(batch.partition, self._until_ms, wanted)])[0]
        batch.more = len(found) >= wanted
        items = []
        keys: dict[str, TenantKeys] = {}
        for member in found:
            if member in self._skip:
                continue
            try:
                tenant, session_id = parse_member(member)
            except SojournError:
                tenant = ""
            if not tenant or not self._is_at_home(tenant):
                batch.strangers.append(member)
                continue
            own = keys.setdefault(tenant, TenantKeys(tenant, batch.partition))
            items.append(Item(member, own, session_id))
        return items

    def _some(self, waiting: deque[Item]) -> list[Item]:
        """The next sessions, as many as fit."""
        ahead = [(each.keys, each.id) for each in islice(waiting, PART_SESSIONS)]
        taken: list[Item] = []
        total = 0
        for size in results(self._execute, [source.sizes(ahead)])[0] if ahead else ():
            if taken and total + size > PART_BYTES:
                break
            total += size
            taken.append(waiting.popleft())
        self.batch.size += total
        return taken

    def _take_events(self, part: Part, read_events: ReadEvents) -> None:
        batch = self.batch
        count = min(self._next_events, self._events_left)
        taken = results(self._execute, [read_events(count, self._after)])[0]
        self._events_left -= len(taken.ids)
        if taken.more:
            self._after = taken.ids[-1] if self._after != _NEW else _NEW
            batch.more = batch.more or not self._events_left
        elif self._after == _NEW:
            self._events_left = 0
        else:
            self._after = _NEW
            if not taken.ids:
                self._take_events(part, read_events)
                return
        batch.size += taken.size
        if taken.ids:
            fitting = PART_BYTES * len(taken.ids) // max(taken.size, 1)
            self._next_events = max(1, min(PART_SESSIONS, 2 * count, fitting))
        batch.event_ids += taken.ids
        unread = len(taken.ids) - len(taken.entries)
        for stream_id, fields in taken.entries:
            if not self._is_at_home(fields.get("tenant", "")):
                unread += 1
                continue
            try:
                told = audited(batch.partition.number, stream_id, fields)
                if told is not None:
                    part.audited.append(told)
                if told is None or told.session_id is not None:  # else it happened to no session
                    part.events.append(event_row(batch.partition.number, stream_id, fields))
            except Damage as damage:
                damaged_event(batch, f"{batch.partition.number:02d}-{stream_id}", damage.field)
            except (ValueError, OverflowError):  # written by other hands
                unread += 1
        if unread:
            LOG.warning(
                "events cannot be archived", partition=batch.partition.number, count=unread,
                reason="they are gone, cannot be read, or are of tenants of other partitions",
            )  # fmt: skip
            batch.damaged_events += unread

    def _is_at_home(self, tenant: str) -> bool:
        return self._homes.has(tenant, self.batch.partition.number)


def _read_records(execute: Execute, models: Models, items: list[Item]) -> None:
    found = results(execute, [source.records([(each.keys, each.id) for each in items])])[0]
    for item, stored in zip(items, found, strict=True):
        if isinstance(stored, SessionCorrupt):
            item.damaged(stored.field)
            continue
        item.stored = stored
        if not stored:
            continue
        try:
            item.row = session_row(stored, *item.key, models.codec(stored.get("kind", "")))
        except Damage as damage:
            item.damaged(damage.field)


def _read_logs(execute: Execute, models: Models, items: list[Item]) -> int:
    """Read what is new in the logs of some sessions, as far as it fits; return how many bytes that was."""
    if not items:
        return 0
    logs = [
        (each, name, KEEP + name in each.stored)
        for each in items for name in each.stored["_logs"].split(",") if name
    ]  # fmt: skip
    states = results(
        execute, [source.log_state(item.keys, item.id, name, bounded=bounded) for item, name, bounded in logs]
    )
    wanted: list[tuple[Item, str, int, Operation[list[tuple[int, str]]]]] = []
    left, room = ENTRIES_PER_ROUND, PART_BYTES
    for (item, name, bounded), state in zip(logs, states, strict=True):
        archived = _archived(item, name)
        if state is None or state.end < archived:
            # It is not the list that it was: which of these are archived nobody can tell.
            item.damaged(name)
            continue
        start = max(archived, state.first)
        item.goes_on = item.goes_on or start > state.first
        fitting = min(left, max(room // max(state.entry_bytes, 1), 0 if wanted else 1))
        count = min(fitting, state.end - start)
        item.partial = item.partial or state.end - start > fitting
        if count > 0:
            left -= count
            room -= count * state.entry_bytes
            part = source.log_part(item.keys, item.id, name, start, count, bounded=bounded)
            wanted.append((item, name, start, part))
    parts = results(execute, [each[-1] for each in wanted])
    for (item, name, start, _), found in zip(wanted, parts, strict=True):
        embed = embeddable_entries(models.codec(item.stored["kind"]), name)
        item.logs[name] = start
        for position, text in found:
            try:
                item.entries.append((name, position, entry_row(*item.key, name, position, text, embed=embed)))
            except Damage:
                item.damaged(name)
                break
            item.logs[name] = position + 1
    return sum(len(text) for part in parts for _, text in part)


def _archived(item: Item, name: str) -> int:
    text = item.stored.get(ARCHIVED + name, "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def damaged_event(batch: Batch, event_id: str, name: str) -> None:
    """Note an event that cannot be archived."""
    batch.damaged_events += 1
    LOG.warning("event cannot be archived", event_id=event_id, damaged=name, then="it is left out")
