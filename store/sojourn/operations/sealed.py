"""The operations that find sealed texts where sessions are, whatever their models, and replace them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sojourn.errors import SessionError
from sojourn.keys import PartitionKeys, TenantKeys, parse_key, session_pattern
from sojourn.operations.core import Argument, Operation, call, is_of_another_type, pairs, raise_for

__all__ = ["Place", "outbox_page", "read_records", "replace_texts", "scan_sessions", "size"]

Place = tuple[TenantKeys, str]
"""A session: its tenant's keys, and its id."""


def scan_sessions(cursor: str, tenant: str | None, count: int) -> Operation[tuple[str, list[Place]]]:
    """Some of the sessions there are, of all tenants or of one, listed in an index or not; and where to go on.

    The cursor is "0" at the start, and at the end.
    """

    def parse(replies: list[Any]) -> tuple[str, list[Place]]:
        raise_for(replies[0], "-", tenant or "-")
        after, names = replies[0]
        found = []
        for each in names:
            key = parse_key(each)
            if key is not None:
                found.append((TenantKeys(key[2], PartitionKeys(key[1])), key[3]))
        return str(after), found

    return Operation((("SCAN", cursor, "MATCH", session_pattern(tenant), "COUNT", count),), parse)


def size() -> Operation[int]:
    """How many keys there are in all."""

    def parse(replies: list[Any]) -> int:
        raise_for(replies[0], "-", "-")
        return int(replies[0])

    return Operation((("DBSIZE",),), parse)


def read_records(place: Place) -> Operation[dict[str, str]]:
    """A session's record, field by field; empty where there is none."""
    keys, session_id = place

    def parse(replies: list[Any]) -> dict[str, str]:
        if is_of_another_type(replies[0]):
            return {}
        raise_for(replies[0], session_id, keys.tenant)
        return pairs(replies[0])

    return Operation((("HGETALL", keys.session(session_id)),), parse)


def replace_texts(place: Place, texts: Mapping[str, tuple[str, str]]) -> Operation[bool]:
    """Replace texts, told with those that they take the place of; whether all were still there."""
    keys, session_id = place
    args: list[Argument] = [keys.partition.prefix, keys.tenant, session_id]
    for field, (old, new) in texts.items():
        args += [field, old, new]

    def parse(reply: Any) -> bool:
        try:
            raise_for(reply, session_id, keys.tenant)
        except SessionError:  # its record is damaged: it is told of as what could not be moved
            return False
        return int(reply) == len(texts)

    return call("reseal_session", [keys.session(session_id)], args, parse)


def outbox_page(partition: PartitionKeys, after: str, count: int) -> Operation[list[tuple[str, dict[str, str]]]]:
    """Some of a partition's events that nobody has trimmed yet, as the fields of their stream entries."""

    def parse(replies: list[Any]) -> list[tuple[str, dict[str, str]]]:
        raise_for(replies[0], "-", "-")
        return [(str(entry), pairs(fields)) for entry, fields in replies[0]]

    return Operation((("XRANGE", partition.events, f"({after}", "+", "COUNT", count),), parse)
