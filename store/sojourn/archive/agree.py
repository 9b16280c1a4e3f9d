"""When one of the two, Redis or the archive, was restored from an older copy: finding out, and bringing it up.

The archive counts the batches that it takes from each partition, in the transaction that stores one; Redis is told the
count afterwards, when the batch's events are acknowledged. So in two that went on as they were, Redis's count is the
archive's, or one less where a run died in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sojourn.archive.database import Connection, connected, statement
from sojourn.archive.loader import Execute, Loader
from sojourn.archive.rows import rows_json, session_key
from sojourn.archive.schema import check_schema
from sojourn.archive.tenants import bring_back_partitions
from sojourn.errors import StoreFull
from sojourn.keys import CHECKED, Homes, PartitionKeys
from sojourn.logs import Log
from sojourn.operations.core import Operation, is_of_another_type, raise_for
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.operations.strays import mark_flow
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["archive_again", "batches_taken", "bring_up_archive", "bring_up_redis", "current_run"]

_LOOKED_AT: Final = 5_000
_AT_ONCE: Final = 200
_MARGIN: Final = timedelta(minutes=1)
_LOCK: Final = 0x50_4A_52_01
"""The advisory lock under which one process at a time brings Redis up."""
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_MOST_BATCHES: Final = 1 << 53
LOG: Final = Log("sojourn.archive")


@dataclass(frozen=True)
class Run:
    """A run of the Redis server. A restored Redis is another run."""

    id: str
    is_checked: bool
    """Whether it has been held against the archive."""


@dataclass(frozen=True)
class Taken:
    """What Redis knows of the batches that the archive took from a partition."""

    count: int
    at: datetime | None
    """When the last was taken, by the archive's clock; None: Redis knows of none."""


def current_run() -> Operation[Run]:
    """Which run of the server this is."""

    def parse(replies: list[Any]) -> Run:
        for reply in replies:
            raise_for(reply, "-", "-")
        told, checked = replies
        run = told.get("run_id") if isinstance(told, dict) else _field(str(told), "run_id")
        return Run(str(run), run == checked)

    return Operation((("INFO", "server"), ("GET", CHECKED)), parse)


def _field(told: str, name: str) -> str:
    return next((line.partition(":")[2] for line in told.splitlines() if line.startswith(f"{name}:")), "")


def batches_taken(partitions: Sequence[PartitionKeys]) -> Operation[dict[PartitionKeys, Taken]]:
    """What Redis knows of the batches that the archive took."""

    def parse(replies: list[Any]) -> dict[PartitionKeys, Taken]:
        found = {}
        for partition, reply in zip(partitions, replies, strict=True):
            if not is_of_another_type(reply):
                raise_for(reply, "-", "-")
            try:
                found[partition] = _taken(*reply)
            except (ValueError, TypeError, OverflowError):  # other hands wrote it: as if nothing were known
                found[partition] = Taken(0, None)
        return found

    return Operation(tuple(("HMGET", each.batches, "count", "at") for each in partitions), parse)


def _taken(count: str | None, at: str | None) -> Taken:
    told = int(count or 0)
    if not 0 <= told < _MOST_BATCHES:
        raise ValueError(told)
    if at is None:
        return Taken(told, None)
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None or not _EVER <= moment < _LATEST:
        raise ValueError(at)
    return Taken(told, moment)


def _held(connection: Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT number, batches FROM sojourn.partitions").fetchall())


def bring_up_archive(
    settings: Settings, execute: Execute, connection: Connection, known: Mapping[PartitionKeys, Taken]
) -> int:
    """Where the archive has counted fewer batches than Redis was told, have all sessions archived again; how many.

    `known` was read from Redis before; other runs may have gone on since, but a count never goes back.
    """
    held = _held(connection)
    behind = {each: taken.count for each, taken in known.items() if taken.count > held.get(each.number, 0)}
    if not behind:
        return 0
    LOG.error(
        "archive is behind Redis", partitions=len(behind), reason="it is new, or was restored from an older copy",
        then="all their sessions are archived again; events that Redis no longer holds are missing",
    )  # fmt: skip
    marked = mark_all(settings, execute, list(behind))
    for partition, count in behind.items():
        connection.execute(
            "INSERT INTO sojourn.partitions AS held (number, batches) VALUES (%s, %s) "
            "ON CONFLICT (number) DO UPDATE SET batches = greatest(held.batches, excluded.batches)",
            (partition.number, count),
        )
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
        return mark_all(settings, transport.execute, _one(transport.execute, homes(settings.partitions)).partitions)


def bring_up_redis(settings: Settings, execute: Execute) -> Counter[str]:
    """Hold this run of Redis against the archive, once; where Redis is behind, put back what is newer in there.

    Returns:
        How many sessions came to which outcome (see ``lua/rehydrate_session.lua``); empty where Redis is not behind.

    Raises:
        ArchiveUnavailable, ArchiveSchemaMismatch: the archive cannot be read.
        StoreUnavailable: Redis did not answer in time.
    """
    run = _one(execute, current_run())
    if run.is_checked or settings.archive_url is None:
        return Counter()
    with connected(settings.archive_url, settings.archive_timeout) as connection:
        check_schema(connection, settings.archive_url)
        with _alone(connection) as alone:
            if not alone:  # somebody else is at it
                return Counter()
            try:
                outcomes = _bring_up(settings, execute, connection)
                _one(execute, Operation((("SET", CHECKED, run.id),), _raised))
            except StoreFull:  # archiving makes room
                LOG.warning(
                    "Redis cannot be held against the archive", reason="Redis is full", then="that is tried again"
                )
                return Counter()
    return outcomes


@contextmanager
def _alone(connection: Connection) -> Iterator[bool]:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
    taken = bool(row and row[0])
    try:
        yield taken
    finally:
        if taken:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _bring_up(settings: Settings, execute: Execute, connection: Connection) -> Counter[str]:
    known = _one(execute, batches_taken(_one(execute, homes(settings.partitions)).partitions))
    held = _held(connection)
    behind = {each: taken for each, taken in known.items() if held.get(each.number, 0) > taken.count}
    if not any(taken.at for taken in known.values()):
        if behind:  # somebody may have meant to; and filling it runs the hooks of all that has expired since
            LOG.error(
                "Redis is empty", reason="the archive has taken sessions from it",
                then="if it lost its data, 'sojourn rehydrate' puts the live ones back",
            )  # fmt: skip
        return Counter()
    if bring_back_partitions(settings, execute, connection, None, "archive"):  # an older copy may not know of all
        known = _one(execute, batches_taken(_one(execute, homes(settings.partitions)).partitions))
        behind = {each: taken for each, taken in known.items() if held.get(each.number, 0) > taken.count}
    ((at,),) = connection.execute("SELECT now()").fetchall()
    outcomes = _put_back(settings, execute, connection, behind)
    replaced = sum(outcomes[each] for each in ("loaded", "replaced", "removed"))
    if replaced:  # else only the last batch was not told of, as after a crash
        LOG.error(
            "Redis was behind the archive", partitions=len(behind), reason="it was restored from an older copy",
            then="what the archive held newer is put back", outcomes=dict(outcomes),
        )  # fmt: skip
    for partition in behind:
        told = ("HSET", partition.batches, "count", held[partition.number], "at", at.isoformat())
        count = (("HINCRBY", partition.counts, "restored", 1),) if replaced else ()
        _one(execute, Operation((("DEL", partition.batches), told, *count), _raised))
    return outcomes


def _put_back(
    settings: Settings, execute: Execute, connection: Connection, behind: Mapping[PartitionKeys, Taken]
) -> Counter[str]:
    loader = Loader(settings, execute, connection, "archive")
    since = {each.number: taken.at - _MARGIN if taken.at else _EVER for each, taken in behind.items()}
    outcomes: Counter[str] = Counter()
    where: Homes = _one(execute, homes(settings.partitions))
    for (tenant,) in connection.execute(statement("tenants")).fetchall() if since else ():
        places = [keys.partition.number for keys in where.places(tenant)]
        # What was archived from the partition that it shared before counts for its own as well.
        moments = [since[number] for number in places if number in since]
        after = _NOBODY
        while moments:
            rows = loader.read(
                "changed_sessions", tenant=tenant, since=min(moments), after_id=after, looked_at=_LOOKED_AT
            )
            if not rows:
                break
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                found = loader.load(part)
                outcomes.update(found)
                # What went on in Redis from the older state takes the place of the newer one's later versions.
                kept = [row[:2] for row, outcome in zip(part, found, strict=True) if outcome == "newer"]
                keys = rows_json([session_key(*each) for each in kept])
                connection.execute(statement("keep_snapshots"), {"keys": keys})
            after = rows[-1][1]
    return outcomes


def _one(execute: Execute, operation: Operation[Any]) -> Any:
    return operation.parse(execute([operation])[0])


def _raised(replies: list[Any]) -> None:
    for reply in replies:
        raise_for(reply, "-", "-")
