"""What the archive reads from Redis, and tells it afterwards: operations only, executed by the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from sojourn.events import Event
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Operation, pairs, raise_for
from sojourn.operations.record import now_ms

__all__ = [
    "Taken",
    "Waiting",
    "acknowledge_ids",
    "dirty",
    "forget",
    "log_lengths",
    "log_part",
    "move_back",
    "probe",
    "read_events",
    "record",
    "time",
]


@dataclass(frozen=True)
class Waiting:
    """What waits for the archive in one partition."""

    sessions: bool
    events: bool
    joined: bool
    """Whether the group is there already."""


@dataclass(frozen=True)
class Taken:
    """Events taken from a stream. `ids` has all of them, also those whose entry is gone or cannot be read."""

    events: tuple[Event, ...]
    ids: tuple[str, ...]
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


def record(keys: TenantKeys, session_id: str) -> Operation[dict[str, str]]:
    """A session's hash; empty where it is gone."""

    def parse(replies: list[Any]) -> dict[str, str]:
        raise_for(replies[0], session_id, keys.tenant)
        return pairs(replies[0])

    return Operation((("HGETALL", keys.session(session_id)),), parse)


def log_lengths(keys: TenantKeys, session_id: str, logs: Sequence[str]) -> Operation[dict[str, int | None]]:
    """How long a session's logs are; None for one that is no list."""

    def parse(replies: list[Any]) -> dict[str, int | None]:
        return {log: reply if isinstance(reply, int) else None for log, reply in zip(logs, replies, strict=True)}

    return Operation(tuple(("LLEN", _raw(keys.log(session_id, log))) for log in logs), parse)


def log_part(keys: TenantKeys, session_id: str, log: str, start: int, count: int) -> Operation[list[str]]:
    """A stretch of a log."""

    def parse(replies: list[Any]) -> list[str]:
        raise_for(replies[0], session_id, keys.tenant)
        return list(replies[0])

    return Operation((("LRANGE", _raw(keys.log(session_id, log)), start, start + count - 1),), parse)


def read_events(partition: PartitionKeys, group: str, consumer: str, count: int) -> Operation[Taken]:
    """Events that an earlier run took and did not finish, and new ones, up to `count` each. Does not wait.

    All runs are one consumer: which of them reads a partition is settled by a lock, so what is pending was left by
    a run that failed, and need not be waited for.
    """

    def parse(replies: list[Any]) -> Taken:
        events: list[Event] = []
        ids: list[str] = []
        more = False
        for reply in replies:
            raise_for(reply, "-", "-")
            entries = reply[0][1] if reply else []
            more = more or len(entries) >= count
            for stream_id, fields in entries:
                ids.append(stream_id)
                if fields is None:  # pending, but trimmed away
                    continue
                try:
                    events.append(Event.from_stream(partition.number, stream_id, pairs(fields)))
                except (ValueError, OverflowError):
                    continue  # written by other hands; the caller counts it by its id
        return Taken(tuple(events), tuple(ids), more)

    start = ("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", partition.events)
    return Operation(((*start, "0"), (*start, ">")), parse)


def acknowledge_ids(partition: PartitionKeys, group: str, ids: Sequence[str]) -> Operation[None]:
    """The group is done with these entries of the stream."""

    def parse(replies: list[Any]) -> None:
        raise_for(replies[0], "-", "-")

    return Operation((("XACK", partition.events, group, *ids),), parse)


def move_back(partition: PartitionKeys, members: Iterable[tuple[str, int]]) -> Operation[None]:
    """Give members that are still dirty a later place in the line; never an earlier one."""

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            raise_for(reply, "-", "-")

    commands = tuple(("ZADD", partition.dirty, "XX", "GT", score, _raw(member)) for member, score in members)
    return Operation(commands, parse)


def forget(partition: PartitionKeys, member: str) -> Operation[None]:
    """Drop a member that names no session."""

    def parse(replies: list[Any]) -> None:
        raise_for(replies[0], "-", "-")

    return Operation((("ZREM", partition.dirty, _raw(member)),), parse)


def _raw(text: str) -> bytes:
    """As it was in Redis: undecodable bytes were read as lone surrogates."""
    return text.encode(errors="surrogateescape")
