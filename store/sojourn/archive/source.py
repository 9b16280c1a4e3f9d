"""What the archive reads from Redis, and tells it afterwards: operations only, executed by the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from sojourn.errors import SessionCorrupt
from sojourn.keys import ARCHIVE, PartitionKeys, TenantKeys
from sojourn.operations.core import Argument, Operation, call, pairs, raise_for
from sojourn.operations.read import LogRead, log_read
from sojourn.operations.record import now_ms

__all__ = [
    "LogState",
    "Taken",
    "Waiting",
    "acknowledge",
    "count",
    "dirty",
    "forget",
    "log_part",
    "log_state",
    "move_back",
    "probe",
    "read_events",
    "records",
    "sizes",
    "time",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """What waits for the archive in one partition."""

    sessions: bool
    events: bool
    joined: bool
    """Whether the group is there already."""


@dataclass(frozen=True)
class Taken:
    """Events taken from a stream: id and fields. `ids` has also those whose entry is gone."""

    entries: tuple[tuple[str, dict[str, str]], ...]
    ids: tuple[str, ...]
    size: int
    """Characters, about."""
    more: bool


def time() -> Operation[int]:
    """Redis's clock, ms."""

    def parse(replies: list[Any]) -> int:
        raise_for(replies[0], "-", "-")
        return now_ms(replies[0])

    return Operation((("TIME",),), parse)


def probe(partition: PartitionKeys, group: str) -> Operation[Waiting]:
    """Whether there is anything to do in a partition."""

    def parse(replies: list[Any]) -> Waiting:
        dirty_count, stream, groups = replies
        raise_for(dirty_count, "-", "-")
        if isinstance(stream, ResponseError) and "no such key" in str(stream):
            return Waiting(bool(dirty_count), events=False, joined=False)
        raise_for(stream, "-", "-")
        raise_for(groups, "-", "-")
        ours = [each for each in map(pairs, groups) if each["name"] == group]
        if not ours:
            return Waiting(bool(dirty_count), events=True, joined=False)
        # Redis 6.2 does not tell the lag.
        unread = ours[0]["last-delivered-id"] != pairs(stream)["last-generated-id"]
        return Waiting(bool(dirty_count), events=unread or int(ours[0]["pending"]) > 0, joined=True)

    commands = (
        ("ZCARD", partition.dirty), ("XINFO", "STREAM", partition.events), ("XINFO", "GROUPS", partition.events),
    )  # fmt: skip
    return Operation(commands, parse)


def dirty(partition: PartitionKeys, until_ms: int, limit: int) -> Operation[list[str]]:
    """Up to `limit` members that have been dirty since `until_ms` or before, those that waited longest first."""

    def parse(replies: list[Any]) -> list[str]:
        raise_for(replies[0], "-", "-")
        return list(replies[0])

    return Operation((("ZRANGEBYSCORE", partition.dirty, "-inf", until_ms, "LIMIT", 0, limit),), parse)


def sizes(sessions: Sequence[tuple[TenantKeys, str]]) -> Operation[list[int]]:
    """How much memory the sessions' hashes take in Redis: a bound for what reading them will bring."""

    def parse(replies: list[Any]) -> list[int]:
        return [reply if isinstance(reply, int) else 0 for reply in replies]

    commands = tuple(("MEMORY", "USAGE", keys.session(each), "SAMPLES", 0) for keys, each in sessions)
    return Operation(commands, parse)


def records(sessions: Sequence[tuple[TenantKeys, str]]) -> Operation[list[dict[str, str] | SessionCorrupt]]:
    """Sessions' hashes; empty where one is gone, an error where it cannot be read."""

    def parse(replies: list[Any]) -> list[dict[str, str] | SessionCorrupt]:
        return [_record(reply, each) for reply, each in zip(replies, sessions, strict=True)]

    return Operation(tuple(("HGETALL", keys.session(each)) for keys, each in sessions), parse)


def _record(reply: Any, session: tuple[TenantKeys, str]) -> dict[str, str] | SessionCorrupt:
    if isinstance(reply, ResponseError):
        try:
            raise_for(reply, session[1], session[0].tenant)
        except SessionCorrupt as error:
            return error
    return dict(zip(reply[::2], reply[1::2], strict=True))


@dataclass(frozen=True)
class LogState:
    """How a session's log is in Redis."""

    first: int
    """Position of the first entry that is there."""
    end: int
    """Position behind the last."""
    entry_bytes: int
    """What an entry takes there, about."""


def log_state(keys: TenantKeys, session_id: str, log: str, *, bounded: bool) -> Operation[LogState | None]:
    """How a log is; None where it is no list, or where it begins cannot be read.

    Only a bounded log moves on, and takes a script to read: others are read even while writes are held up.
    """
    own = _raw(keys.log(session_id, log))
    usage = ("MEMORY", "USAGE", own)
    reading = _log_read(keys, session_id, log, lambda read: read, 0, 0)

    def state(first: int, length: int, size: Any) -> LogState:
        return LogState(first, first + length, size // length if isinstance(size, int) and length else 0)

    def parse(replies: list[Any]) -> LogState | None:
        size, found = replies
        if not bounded:
            return state(0, found, size) if isinstance(found, int) else None
        try:
            read = reading.parse([found])
        except SessionCorrupt:
            return None
        return state(read.first, read.length, size)

    if bounded:
        return Operation((usage, *reading.commands), parse, reading.source)
    return Operation((usage, ("LLEN", own)), parse)


def log_part(
    keys: TenantKeys, session_id: str, log: str, start: int, count: int, *, bounded: bool
) -> Operation[list[tuple[int, str]]]:
    """Entries of a log by position: what is there of `count` from the position `start` on."""
    if bounded:
        return _log_read(
            keys, session_id, log, lambda read: list(enumerate(read.entries, max(start, read.first))), start, count
        )

    def parse(replies: list[Any]) -> list[tuple[int, str]]:
        entries, moved_on = replies
        raise_for(entries, session_id, keys.tenant)
        return [] if moved_on else list(enumerate(entries, start))  # a bounded log since a moment ago: another time

    part = ("LRANGE", _raw(keys.log(session_id, log)), start, start + count - 1)
    return Operation((part, ("HGET", keys.session(session_id), b"_first:" + _raw(log))), parse)


def _log_read(
    keys: TenantKeys, session_id: str, log: str, parse: Callable[[LogRead], T], start: int, count: int
) -> Operation[T]:
    own = _raw(keys.session(session_id)), _raw(keys.log(session_id, log)), _raw(log)
    return log_read(keys.tenant, session_id, *own, parse, start=start, count=count)


def read_events(partition: PartitionKeys, group: str, consumer: str, count: int, after: str) -> Operation[Taken]:
    """Up to `count` events, without a wait.

    They are new ones where `after` is ``>``, else those behind the id `after` that an earlier run took and did not
    finish. All runs are one consumer: which of them reads a partition is settled by a lock, so what is pending was
    left by a run that failed, and need not be waited for.
    """

    def parse(replies: list[Any]) -> Taken:
        raise_for(replies[0], "-", "-")
        found = replies[0][0][1] if replies[0] else []
        ids = tuple(stream_id for stream_id, _ in found)
        # Of those that are pending, but trimmed away, only the id is left.
        there = [each for each in found if each[1] is not None]
        entries = tuple((stream_id, dict(zip(fields[::2], fields[1::2], strict=True))) for stream_id, fields in there)
        size = sum(len("".join(fields)) for _, fields in there)
        return Taken(entries, ids, size, len(ids) >= count)

    command = ("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", partition.events, after)
    return Operation((command,), parse)


def acknowledge(
    partition: PartitionKeys, group: str, run: str, taken: tuple[int, datetime], ids: Sequence[str]
) -> Operation[bool]:
    """Tell Redis of a batch; whether this is still the `run` of the server with which the archive run began."""

    def parse(reply: Any) -> bool:
        raise_for(reply, "-", "-")
        return bool(reply)

    count, at = taken
    args: list[Argument] = [run, group, count, at.isoformat(), *ids]
    return call("acknowledge_batch", [partition.events, partition.batches], args, parse)


def move_back(partition: PartitionKeys, members: Iterable[tuple[str, int]]) -> Operation[None]:
    """Give members that are still dirty a later place in the line; never an earlier one."""

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            raise_for(reply, "-", "-")

    commands = tuple(("ZADD", partition.dirty, "XX", "GT", score, _raw(member)) for member, score in members)
    return Operation(commands, parse)


def count(partition: PartitionKeys, what: str, by: int) -> Operation[None]:
    """Count what went wrong."""

    def parse(replies: list[Any]) -> None:
        raise_for(replies[0], "-", "-")

    return Operation((("HINCRBY", partition.counts, what, by),), parse)


def count_rows(rows: Mapping[str, int]) -> Operation[None]:
    """Count rows that the archive has committed, by table."""
    commands = tuple(("HINCRBY", ARCHIVE, f"rows|{table}", count) for table, count in rows.items() if count)
    return Operation(commands, lambda _: None)


def forget(partition: PartitionKeys, member: str) -> Operation[None]:
    """Drop a member that names no session."""

    def parse(replies: list[Any]) -> None:
        raise_for(replies[0], "-", "-")

    return Operation((("ZREM", partition.dirty, _raw(member)),), parse)


def _raw(text: str) -> bytes:
    """As it was in Redis: undecodable bytes were read as lone surrogates."""
    return text.encode(errors="surrogateescape")
