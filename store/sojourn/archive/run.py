"""The archive run: from Redis to PostgreSQL, batch by batch.

Each batch is one transaction, and Redis hears of it only after the commit. Whoever dies in between leaves the sessions
dirty and the events pending; the next run does them again, and the second time changes nothing.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Final

from sojourn.archive import source
from sojourn.archive.agree import Taken as Known
from sojourn.archive.agree import batches_taken, bring_up_archive, bring_up_redis, current_run
from sojourn.archive.audit.append import Appender
from sojourn.archive.batch import Batch, Item, Part, Reader, damaged_event, results
from sojourn.archive.copying import stage
from sojourn.archive.database import Connection, connected
from sojourn.archive.loader import Loader
from sojourn.archive.report import ArchiveReport
from sojourn.archive.schema import check_schema
from sojourn.archive.sink import (
    Held,
    PartitionBusy,
    Sent,
    Stored,
    held_sessions,
    lock_partition,
    note_batch,
    store,
    storing,
)
from sojourn.archive.status import noted
from sojourn.archive.tenants import COPIED_ACTIONS, copy_tenants, tenants_wait
from sojourn.codec import Models, datetime_from
from sojourn.errors import ArchiveError, SettingsError, SojournError, StoreFull, StoreUnavailable
from sojourn.events import ARCHIVE_GROUP, join_group
from sojourn.keys import Homes, PartitionKeys
from sojourn.logs import Log
from sojourn.operations.core import Operation
from sojourn.operations.expiry import Archived, settle_many
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.operations.strays import mark_dirty
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["GROUP", "archive_once"]

GROUP: Final = ARCHIVE_GROUP
"""The consumer group of the archive on every partition's stream."""
_CONSUMER: Final = "archive"
_SETTLED_AT_ONCE: Final = 50
"""Sessions that one script settles: some 2 ms where all of them are removed."""
_DAMAGED_AGAIN_MS: Final = 60_000
"""When a damaged session is looked at again: somebody may have repaired it."""
_ANOTHER_STATE: Final = ""
"""No session has this version, so settling with it notes the archived log entries and leaves the session dirty."""
LOG: Final = Log("sojourn.archive")
Progress = Callable[[int], None]
Rows = Sequence[tuple[Any, str]]
"""What names each row, and the row."""


def archive_once(
    settings: Settings, *, models: Models | None = None, max_seconds: float = 60.0, progress: Progress | None = None
) -> ArchiveReport:
    """Copy to PostgreSQL what has changed until now: sessions, log entries and events; then tell Redis so.

    Any number of runs may work at once, and each may be killed at any moment.

    Args:
        settings: where Redis and the archive are, and how large a batch is.
        models: the known models; by default those that the settings name. Sessions of other kinds are archived too.
        max_seconds: after so many seconds no further batch is begun; the next run goes on from there.
        progress: called after each batch with how many sessions were written so far.

    Raises:
        SettingsError: no archive is set, or its URL is malformed.
        ArchiveUnavailable: PostgreSQL did not answer in time; what waits for it stays in Redis.
        ArchiveSchemaMismatch: the tables are not those of this version.
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> report = archive_once(load_settings())  # doctest: +SKIP
        >>> print(f"{report.sessions} sessions, {report.damaged} damaged")  # doctest: +SKIP
    """
    if settings.archive_url is None:
        raise SettingsError("archive_url is not set: there is no archive")
    began = time.monotonic()
    transport = Transport(settings)
    with closing(transport), noted(transport.execute) as note_success:
        run = _Run(settings, settings.load_models() if models is None else models, transport, began + max_seconds)
        partitions = run.prepare()
        if partitions or run.tenants_wait:
            with connected(settings.archive_url, settings.archive_timeout) as connection:
                check_schema(connection, settings.archive_url)
                run.work(connection, partitions, progress)
        run.report.duration_s = time.monotonic() - began
        note_success(run.report)
    return run.report


class _Run:
    def __init__(self, settings: Settings, models: Models, transport: Transport, deadline_s: float) -> None:
        self.report = ArchiveReport()
        self.tenants_wait = False
        self._settings = settings
        self._models = models
        self._execute = transport.execute
        self._deadline_s = deadline_s
        self._until_ms = 0
        self._skip: set[str] = set()
        """Members that this run cannot bring any further."""
        self._with_events: set[int] = set()
        self._server = ""
        """Which run of the server this one began with."""
        self._known: dict[PartitionKeys, Known] = {}
        self._homes = Homes(settings.partitions)
        self._told_rows: dict[str, int] = {}

    def prepare(self) -> list[PartitionKeys]:
        """The partitions where something waits. One round trip, so that idle ones cost next to nothing.

        Raises:
            What `bring_up_redis` does, the first time in a run of the server.
        """
        outcomes = bring_up_redis(self._settings, self._execute)
        self._homes = results(self._execute, [homes(self._settings.partitions)])[0]
        partitions = self._homes.partitions
        self.report.restored = sum(outcomes[each] for each in ("loaded", "replaced", "removed"))
        (look, lay_out), clock = open_layout(self._settings.partitions), source.time()
        server, known = current_run(), batches_taken(partitions)
        probes = [source.probe(each, GROUP) for each in partitions]
        tenants = tenants_wait()
        layout_replies, clock_replies, server_replies, known_replies, tenants_replies, *replies = self._execute(
            [look, clock, server, known, tenants, *probes]
        )
        if not look.parse(layout_replies):
            results(self._execute, [lay_out])
        self._until_ms = clock.parse(clock_replies)
        self._server = server.parse(server_replies).id
        self._known = known.parse(known_replies)
        self.tenants_wait = tenants.parse(tenants_replies)
        waiting = [_waits(probe, own, each) for probe, own, each in zip(probes, replies, partitions, strict=True)]
        # A group keeps events from being trimmed, so it must be there before the first event is.
        newcomers = [each for each, own in zip(partitions, waiting, strict=True) if not own.joined]
        self._with_events = {each.number for each, own in zip(partitions, waiting, strict=True) if own.events}
        if newcomers:
            try:
                results(self._execute, [join_group(newcomers, GROUP, "oldest")])
            except StoreFull:  # archiving sessions makes room
                LOG.warning("archive cannot join outboxes yet", count=len(newcomers), reason="Redis is full")
                self._with_events -= {each.number for each in newcomers}
        return [each for each, own in zip(partitions, waiting, strict=True) if own.sessions or own.events]

    def work(self, connection: Connection, partitions: list[PartitionKeys], progress: Progress | None = None) -> None:
        """Take turns between the partitions, so that none starves behind a long one.

        Those that another run holds come last, and are then waited for.
        """
        self.report.again = bring_up_archive(self._settings, self._execute, connection, self._known)
        while copy_tenants(self._settings, self._execute, connection) and time.monotonic() < self._deadline_s:
            pass
        turns = deque((partition, False) for partition in partitions)
        while turns:
            if time.monotonic() >= self._deadline_s:
                self.report.complete = False
                return
            partition, wait = turns.popleft()
            try:
                with _without_collections():
                    batch = self._round(connection, partition, wait=wait)
            except PartitionBusy:
                self.report.busy += 1
                continue
            if progress is not None:
                progress(self.report.sessions)
            if batch is None:
                turns.append((partition, True))
            elif batch.more:
                turns.append((partition, wait))

    def _round(self, connection: Connection, partition: PartitionKeys, *, wait: bool) -> Batch | None:
        """One batch; None where another run holds the partition."""
        read_events = None
        if partition.number in self._with_events:
            read_events = partial(source.read_events, partition, GROUP, _CONSUMER)
        with connection.transaction():
            if not lock_partition(connection, partition.number, wait=wait):
                return None
            limit = self._settings.archive_batch
            reader = Reader(
                self._execute, self._models, self._homes, partition, self._until_ms, limit, self._skip, read_events
            )  # fmt: skip
            newer = self._write(connection, reader)
        if reader.batch.tenants:  # before their events are acknowledged
            copy_tenants(self._settings, self._execute, connection, reader.batch.tenants, wait=True)
        self._put_back(connection, reader.batch, newer)
        self._settle(reader.batch, newer)
        return reader.batch

    def _write(self, connection: Connection, reader: Reader) -> set[str]:
        """Write a batch, part by part; the members of which the archive holds a newer state are returned."""
        newer: set[str] = set()
        stage(connection)
        trail = Appender(connection)
        parts = reader.parts()
        part = next(parts, None)
        while part is not None:
            reader.batch.tenants |= {each.tenant for each in part.audited if each.action in COPIED_ACTIONS}
            tables = _tables(part, trail.rows(part.audited))
            with storing(connection, tables) as sent:
                following = next(parts, None)  # PostgreSQL works meanwhile
            newer |= self._written(connection, reader.batch, part, sent, tables)
            part = following
        trail.close()
        self.report.damaged += reader.batch.damaged_events
        self.report.audited += trail.added
        if reader.batch.items or reader.batch.event_ids:
            reader.batch.taken = note_batch(connection, reader.batch.partition.number)
        return newer

    def _put_back(self, connection: Connection, batch: Batch, newer: set[str]) -> None:
        """Give Redis the newer states that the archive holds."""
        keys = {item.key: item for item in batch.items if item.member in newer}
        if not keys:
            return
        loader = Loader(self._settings, self._execute, connection, "archive")
        try:
            rows = loader.named(keys)
            outcomes = loader.load(rows)
        except StoreFull:  # they stay in line
            LOG.warning("sessions cannot be put back yet", count=len(keys), reason="Redis is full")
            return
        done = set()
        for row, outcome in zip(rows, outcomes, strict=True):
            item = keys[row[:2]]
            if outcome in ("replaced", "removed"):
                done.add(item.member)
                LOG.error(
                    "session was put back", tenant=item.keys.tenant, session_id=item.id,
                    reason="Redis held an older state than the archive; was it restored from an older copy?",
                )  # fmt: skip
            elif outcome != "newer":  # the archive's row contradicts itself, and was not written by a run
                item.damaged("record")
        self.report.stale += len(done)
        if done:
            results(self._execute, [source.count(batch.partition, "stale", len(done))])

    def _written(
        self, connection: Connection, batch: Batch, part: Part, sent: Sent, tables: Mapping[str, Rows]
    ) -> set[str]:
        """Note what came of a part; the members of which the archive holds a newer state are returned."""
        stored = _one_by_one(connection, batch, part, tables) if sent.refused else sent.stored
        sessions = stored["store_sessions"]
        self.report.sessions += sessions.written
        self.report.entries += stored["store_entries"].written
        self.report.events += stored["store_events"].written
        written = {(tenant, str(session_id)): inserted for tenant, session_id, inserted in sessions.returned}
        open_questions = {
            item.key: item for item in part.items if item.is_gone or (item.row and item.key not in written)
        }
        held = held_sessions(connection, open_questions)
        newer = set()
        for key, item in open_questions.items():
            if item.is_gone:
                self._count_gone(item, held.get(key))
            elif _is_newer(held[key], item):
                newer.add(item.member)
        for item in part.items:
            item.again = item.goes_on and written.get(item.key, False)
            item.let_go()
        return newer

    def _count_gone(self, item: Item, held: Held | None) -> None:
        if held is None or not held.ended:
            self.report.lost += 1
            LOG.error(
                "session is gone", tenant=item.keys.tenant, session_id=item.id,
                reason="Redis has it no more, and the archive does not hold its end",
            )  # fmt: skip

    def _settle(self, batch: Batch, left: set[str]) -> None:
        """Tell Redis what is committed; members in `left` stay as they are."""
        settled = [item for item in batch.items if not item.again and item.member not in left]
        sound = [item for item in settled if item.is_stored or item.is_gone]
        self._skip |= left
        # What only notes something comes first: in a full Redis a script that has made room may write, and the outcome
        # would hang on who its neighbours are.
        sound.sort(key=lambda item: not (item.partial or item.damage))
        groups = [sound[at : at + _SETTLED_AT_ONCE] for at in range(0, len(sound), _SETTLED_AT_ONCE)]
        operations = [settle_many(batch.partition, [_archived(item) for item in each]) for each in groups]
        told: list[Operation[Any]] = [source.forget(batch.partition, each) for each in batch.strangers]
        told += [mark_dirty(item.keys, [item.id]) for item in batch.items if item.again]
        told += self._rows_written()
        if batch.taken is not None:
            told.append(source.acknowledge(batch.partition, GROUP, self._server, batch.taken, batch.event_ids))
        replies = self._execute([*operations, *told])
        outcomes = [each for operation, own in zip(operations, replies, strict=False) for each in operation.parse(own)]
        later: list[tuple[str, int]] = []
        for item, outcome in zip(sound, outcomes, strict=True):
            if isinstance(outcome, StoreUnavailable):
                raise outcome
            if isinstance(outcome, SojournError):  # out of memory, say: what is committed stays committed
                LOG.warning("session cannot be settled", tenant=item.keys.tenant, session_id=item.id, error=outcome)
                self._skip.add(item.member)
                outcome = "changed"
            self._count(item, outcome)
            if outcome == "changed" and item.stored and not item.partial and not item.damage:
                # Its unarchived change is later than the state that was archived, and so is its place in the line.
                later.append((item.member, int(item.stored["updated_at_ms"])))
        damaged = [item for item in batch.items if item.damage]
        self.report.damaged += len(damaged) + len(batch.strangers)
        self._skip |= {item.member for item in damaged}
        later += [(item.member, self._until_ms + _DAMAGED_AGAIN_MS) for item in damaged]
        heard = [each.parse(own) for each, own in zip(told, replies[len(operations) :], strict=True)]
        if batch.taken is not None and not heard[-1]:
            raise StoreUnavailable("Redis was started anew during the archive run: the next one goes on")
        if later:
            self._move_back(batch.partition, later)

    def _rows_written(self) -> list[Operation[None]]:
        """What counts the rows that were written since this was last asked."""
        report, before = self.report, self._told_rows
        self._told_rows = {
            "sessions": report.sessions, "entries": report.entries, "events": report.events, "audit": report.audited,
        }  # fmt: skip
        rows = {table: count - before.get(table, 0) for table, count in self._told_rows.items()}
        return [source.count_rows(rows)] if any(rows.values()) else []

    def _move_back(self, partition: PartitionKeys, later: list[tuple[str, int]]) -> None:
        try:
            results(self._execute, [source.move_back(partition, later)])
        except StoreFull:  # then they are only passed over in this run
            self._skip |= {member for member, _ in later}

    def _count(self, item: Item, outcome: str) -> None:
        if outcome == "settled":
            self.report.settled += 1
        elif outcome == "removed":
            self.report.removed += 1
        elif outcome == "changed" and not item.partial and not item.damage:
            self.report.changed += 1


@contextmanager
def _without_collections() -> Iterator[None]:
    """Python looks for cycles among its objects, the oftener the more are made. A batch makes many, and no cycles."""
    enabled = gc.isenabled()
    if enabled:  # else another thread's run has, which may end meanwhile: whoever disables it enables it again
        gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _waits(probe: Operation[source.Waiting], replies: list[Any], partition: PartitionKeys) -> source.Waiting:
    """What waits; nothing where other hands put something else: they must not keep the other partitions from us."""
    try:
        return probe.parse(replies)
    except StoreUnavailable:
        raise
    except SojournError as error:
        LOG.error("partition cannot be archived", partition=partition.number, error=error)  # noqa: TRY400
        return source.Waiting(sessions=False, events=False, joined=True)


def _tables(part: Part, audit: Sequence[str]) -> dict[str, Rows]:
    return {
        "store_sessions": [(item, item.row) for item in part.items if item.row],
        "store_entries": _entries(part),
        "store_events": part.events,
        "store_audit": [("", row) for row in audit],
    }


def _entries(part: Part) -> list[tuple[tuple[Item, str, int], str]]:
    return [((item, name, at), row) for item in part.items if item.row for name, at, row in item.entries]


def _one_by_one(connection: Connection, batch: Batch, part: Part, tables: Mapping[str, Rows]) -> dict[str, Stored[Any]]:
    """Write what PostgreSQL refused as a whole: what it will not have is told apart, and left out."""
    sessions = store(connection, "store_sessions", tables["store_sessions"])
    for item in sessions.refused:
        item.row = ""
        item.damaged("record")
    entries = store(connection, "store_entries", _entries(part))  # without those of the refused sessions
    for item, name, position in entries.refused:
        item.logs[name] = min(item.logs[name], position)
        item.damaged(name)
    events = store(connection, "store_events", part.events)
    for event_id in events.refused:
        damaged_event(batch, event_id, "record")
    audit = store(connection, "store_audit", tables["store_audit"])
    if audit.refused:  # a chain with a row left out would be a broken one
        raise ArchiveError("the archive refused a row of the audit trail: the events of this batch stay in Redis")
    return {"store_sessions": sessions, "store_entries": entries, "store_events": events}


def _archived(item: Item) -> Archived:
    whole = not (item.partial or item.damage)
    version = item.stored.get("version", "") if whole else _ANOTHER_STATE
    return Archived(item.keys, item.id, version, item.stored.get("updated_at_ms", ""), item.logs)


def _is_newer(held: Held, item: Item) -> bool:
    read = datetime_from(int(item.stored["updated_at_ms"])), int(item.stored["version"])
    return (held.updated_at, held.version) > read
