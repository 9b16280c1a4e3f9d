"""Sessions whose record vanished: evicted, deleted by hand, or gone by its TTL. Finding them, and combing after them.

Nothing tells of a key deleted by hand. So indexes are held against records, a stretch of each at a time.

With the record its field values are gone, which would name the indexes that it was in. So the tenant's indexes are
looked through, in small steps.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final

from redis.exceptions import ResponseError

from sojourn.errors import SojournError
from sojourn.keys import TENANTS, Homes, PartitionKeys, TenantKeys, is_id, parse_member
from sojourn.models import Status
from sojourn.operations.core import Command, Operation, all_of, call, raise_for
from sojourn.operations.homes import homes as read_homes

__all__ = ["DEALT_AT_ONCE", "comb_flow", "mark_dirty", "mark_flow", "miss_flow", "miss_session"]

_SCAN_COUNT: Final = 1_000
_AT_ONCE: Final = 500
_LOOKS: Final = 500
DEALT_AT_ONCE: Final = 200
"""Sessions that one script marks or combs out: some millisecond of Redis."""


def miss_session(keys: TenantKeys, session_id: str) -> Operation[str]:
    """Tell of a session whose record is gone; the outcome is told in a word (see the script)."""

    def parse(reply: Any) -> str:
        raise_for(reply, session_id, keys.tenant)
        return str(reply)

    args = (keys.partition.prefix, keys.tenant, session_id)
    return call("miss_session", [keys.session(session_id)], args, parse)


def _readable(commands: Iterable[Command]) -> Operation[list[Any]]:
    """The same, but None for a key of another type: other hands' mischief with one must not keep us from the others."""

    def parse(replies: list[Any]) -> list[Any]:
        found = [None if isinstance(each, ResponseError) and "WRONGTYPE" in str(each) else each for each in replies]
        for each in found:
            raise_for(each, "-", "-")
        return found

    return Operation(tuple(commands), parse)


def _ids(members: Iterable[str] | None) -> list[str]:
    return [each for each in members or () if is_id(each)]


def _status_indexes(partitions: int) -> Generator[Operation[Any], Any, list[tuple[TenantKeys, list[str]]]]:
    """The indexes by kind and status of every tenant: together they list all sessions."""
    found = []
    (tenants,) = yield _readable([("SMEMBERS", TENANTS)])
    homes: Homes = yield read_homes(partitions)
    for tenant in tenants or ():
        try:
            places = homes.places(tenant)
        except SojournError:
            continue  # no tenant of ours is called so
        for keys in places:
            (kinds,) = yield _readable([("SMEMBERS", keys.kinds)])
            known = [each for each in kinds or () if each.isascii()]
            found.append((keys, [keys.status_index(kind, status) for kind in known for status in Status]))
    return found


def miss_flow(partitions: int, at_once: int) -> Generator[Operation[Any], Any, int]:
    """Hold a stretch of each index of a kind and status against the records; how many sessions are told as lost.

    Args:
        partitions: how many are shared.
        at_once: index entries looked at in each, from a random place on; all where there are no more.
    """
    missed = 0
    for keys, indexes in (yield from _status_indexes(partitions)):
        sizes = yield _readable(("ZCARD", each) for each in indexes)
        for index, size in [(index, size) for index, size in zip(indexes, sizes, strict=True) if size]:
            first = random.randrange(size - at_once) if size > at_once else 0  # noqa: S311
            for start in range(first, min(first + at_once, size), _LOOKS):
                (members,) = yield _readable([("ZRANGE", index, start, start + _LOOKS - 1)])
                ids = _ids(members)
                there = yield all_of(("EXISTS", keys.session(each)) for each in ids)
                for session_id in [each for each, exists in zip(ids, there, strict=True) if not exists]:
                    missed += (yield miss_session(keys, session_id)) == "lost"
    return missed


def mark_flow(partitions: int, wanted: Sequence[PartitionKeys]) -> Generator[Operation[Any], Any, int]:
    """Have all sessions of some partitions archived again; how many were not in line before.

    Args:
        partitions: how many are shared.
        wanted: those.
    """
    marked = 0
    for keys, indexes in (yield from _status_indexes(partitions)):
        for index in indexes if keys.partition in wanted else ():
            cursor = "0"
            while True:
                (reply,) = yield _readable([("ZSCAN", index, cursor, "COUNT", _LOOKS)])
                cursor, found = reply or ("0", [])
                ids = _ids(found[::2])
                for start in range(0, len(ids), DEALT_AT_ONCE):
                    marked += yield mark_dirty(keys, ids[start : start + DEALT_AT_ONCE])
                if cursor == "0":
                    break
    return marked


def mark_dirty(keys: TenantKeys, ids: Sequence[str]) -> Operation[int]:
    """Have sessions archived again, their logs from the beginning on; how many were not in line before."""

    def parse(reply: Any) -> int:
        raise_for(reply, "-", keys.tenant)
        return int(reply)

    return call("mark_dirty", [keys.partition.dirty], (keys.partition.prefix, keys.tenant, *ids), parse)


def comb_flow(partitions: Sequence[PartitionKeys]) -> Generator[Operation[Any], Any, int]:
    """Remove what lost sessions left behind in these partitions; how many sessions were combed out."""
    done = 0
    found = yield all_of(("SRANDMEMBER", each.lost, _AT_ONCE) for each in partitions)
    for partition, members in zip(partitions, found, strict=True):
        by_tenant: dict[TenantKeys, list[str]] = {}
        for member in members:
            try:
                tenant, session_id = parse_member(member)
            except SojournError:
                yield all_of([("SREM", partition.lost, member.encode(errors="surrogateescape"))])
                continue
            by_tenant.setdefault(TenantKeys(tenant, partition), []).append(session_id)
        for keys, ids in by_tenant.items():
            done += yield from _comb_tenant(keys, ids)
    return done


def _comb(keys: TenantKeys, key: str, ids: Sequence[str], *, log: bool) -> Operation[int]:
    def parse(reply: Any) -> int:
        raise_for(reply, "-", keys.tenant)
        return int(reply)

    name = key.encode(errors="surrogateescape")
    return call("comb_strays", [name], (keys.partition.prefix, keys.tenant, int(log), *ids), parse)


def _comb_tenant(keys: TenantKeys, ids: list[str]) -> Generator[Operation[Any], Any, int]:
    there = yield all_of(("EXISTS", keys.session(each)) for each in ids)
    # A record that is damaged but there stays in mind until it goes.
    gone = [each for each, exists in zip(ids, there, strict=True) if not exists]
    if not gone:
        return 0
    # One walk over the keyspace finds both; the same cursor in the same table gives the same keys to each pattern.
    indexes, logs = keys.index("*", "*"), keys.log("*", "*")
    cursor = "0"
    while True:
        replies = yield all_of(
            [
                ("SCAN", cursor, "MATCH", indexes, "COUNT", _SCAN_COUNT),
                ("SCAN", cursor, "MATCH", logs, "COUNT", _SCAN_COUNT),
            ]
        )
        (cursor, found_indexes), (_, found_logs) = replies
        for index in found_indexes:
            for start in range(0, len(gone), DEALT_AT_ONCE):
                yield _comb(keys, index, gone[start : start + DEALT_AT_ONCE], log=False)
        for log in found_logs:
            for own in [each for each in gone if f":log:{each}:" in log]:
                yield _comb(keys, log, [own], log=True)
        if cursor == "0":
            break
    yield all_of([("SREM", keys.partition.lost, *[keys.member(each) for each in gone])])
    return len(gone)
