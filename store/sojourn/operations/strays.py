"""Combing indexes and logs for sessions whose record vanished: evicted, deleted by hand, or gone by its TTL.

With the record its field values are gone, which would name the indexes that it was in. So the tenant's indexes are
looked through, outside of any script and in small steps. Ids are never used twice, so what belongs to no
record is a stray.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final

from sojourn.errors import SojournError
from sojourn.keys import PartitionKeys, TenantKeys, parse_member
from sojourn.operations.core import Command, Operation, raise_for

__all__ = ["comb_flow"]

_SCAN_COUNT: Final = 1_000
_AT_ONCE: Final = 1_000


def _plain(commands: Iterable[Command]) -> Operation[list[Any]]:
    def parse(replies: list[Any]) -> list[Any]:
        for reply in replies:
            raise_for(reply, "-", "-")
        return replies

    return Operation(tuple(commands), parse)


def comb_flow(partitions: Sequence[PartitionKeys]) -> Generator[Operation[list[Any]], list[Any], int]:
    """Remove what lost sessions left behind in these partitions; how many sessions were combed out."""
    done = 0
    found = yield _plain(("SRANDMEMBER", each.lost, _AT_ONCE) for each in partitions)
    for partition, members in zip(partitions, found, strict=True):
        by_tenant: dict[TenantKeys, list[str]] = {}
        for member in members:
            try:
                tenant, session_id = parse_member(member)
            except SojournError:
                yield _plain([("SREM", partition.lost, member.encode(errors="surrogateescape"))])
                continue
            by_tenant.setdefault(TenantKeys(tenant, partition), []).append(session_id)
        for keys, ids in by_tenant.items():
            done += yield from _comb_tenant(keys, ids)
    return done


def _comb_tenant(keys: TenantKeys, ids: list[str]) -> Generator[Operation[list[Any]], list[Any], int]:
    there = yield _plain(("EXISTS", keys.session(each)) for each in ids)
    # A record that is damaged but there stays in mind until it goes.
    gone = [each for each, exists in zip(ids, there, strict=True) if not exists]
    if not gone:
        return 0
    # One walk over the keyspace finds both; the same cursor in the same table gives the same keys to each pattern.
    indexes, logs = keys.index("*", "*"), keys.log("*", "*")
    cursor = "0"
    while True:
        replies = yield _plain(
            [
                ("SCAN", cursor, "MATCH", indexes, "COUNT", _SCAN_COUNT),
                ("SCAN", cursor, "MATCH", logs, "COUNT", _SCAN_COUNT),
            ]
        )
        (cursor, found_indexes), (_, found_logs) = replies
        stray_logs = [each for each in found_logs if any(f":log:{own}:" in each for own in gone)]
        commands: list[Command] = [("ZREM", index, *gone) for index in found_indexes]
        if stray_logs:
            commands.append(("DEL", *stray_logs))
        if commands:
            yield _plain(commands)
        if cursor == "0":
            break
    yield _plain([("SREM", keys.partition.lost, *[keys.member(each) for each in gone])])
    return len(gone)
