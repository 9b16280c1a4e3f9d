"""Counts what is left in Redis of sessions that are no longer there."""

from __future__ import annotations

import re
from typing import Any

import redis

__all__ = ["strays"]

_KEY = re.compile(r"sojourn:\{\d+\}:(?P<tenant>[^:]+):(?P<what>session|lease|log|index|tokens?|families):(?P<rest>.+)")
_PLACES = re.compile(r"sojourn:\{\d+\}:(?P<tenant>[^:]+):(?P<what>live|places)(?::(?P<owner>.+))?")
_LIVE = ("pending", "in_progress")


def strays(url: str) -> list[str]:
    """Return every key and every entry of an index that belongs to no record, or contradicts it."""
    with redis.Redis.from_url(url, decode_responses=True, protocol=2) as client:
        keys = list(client.scan_iter(count=1000))
        records: dict[tuple[str, str], dict[str, str]] = {}
        for key in keys:
            match = _KEY.fullmatch(key)
            if match and match["what"] == "session":
                records[match["tenant"], match["rest"]] = client.hgetall(key)
        found: list[str] = []
        for key in keys:
            found += _of_key(client, key, records)
        return found


def _of_key(client: Any, key: str, records: dict[tuple[str, str], dict[str, str]]) -> list[str]:
    if key.endswith((":deadlines", ":dirty", ":removals")) and client.type(key) == "zset":
        members = client.zrange(key, 0, -1)
        return [f"{key} {each}" for each in members if not _belongs(key, records.get(tuple(each.split("/"))))]
    if place := _PLACES.fullmatch(key):
        return _misplaced(client, key, place, records)
    match = _KEY.fullmatch(key)
    if not match or match["what"] == "session":
        return []
    tenant, rest = match["tenant"], match["rest"]
    if match["what"] == "lease":
        return [] if _is_live(records.get((tenant, rest))) else [key]
    if match["what"] in ("token", "tokens", "families"):
        own = [key.replace(f":{match['what']}:", f":{each}:") for each in ("token", "tokens", "families")]
        return [] if _is_live(records.get((tenant, rest))) and _agree(client, *own) else [key]
    if match["what"] == "log":
        session_id, _, name = rest.partition(":")
        logs = records.get((tenant, session_id), {}).get("_logs", "")
        return [] if name in logs.split(",") else [key]
    return [
        f"{key} {each}"
        for each in client.zrange(key, 0, -1)
        if not _indexed(rest, records.get((tenant, each)))
    ]  # fmt: skip


def _agree(client: Any, token: str, tokens: str, families: str) -> bool:
    """Whether what is known of a session's tokens is listed as it is, and of no family that is not there."""
    known, now_ms = client.hgetall(token), client.time()[0] * 1000
    texts = {name: text.split(" ") for name, text in known.items()}
    in_force = {name: float(text[2]) for name, text in texts.items() if text[0] in ("access", "refresh")}
    listed, sizes = (dict(client.zrange(key, 0, -1, withscores=True)) for key in (tokens, families))
    names = {name for name, text in texts.items() if text[0] == "since"}
    ttls = [client.pttl(key) for key in (token, tokens, families) if client.exists(key)]
    return (
        listed == in_force
        and {each.split(":")[1] for each in sizes} == names
        and sum(size % 1_000_000 for size in sizes.values()) == len(texts) - len(names)
        and {text[1] for text in texts.values() if text[0] != "since"} <= names
        and all(ttl > 0 for ttl in ttls)
        and all(over > now_ms - 3_600_000 for over in listed.values())
    )


def _misplaced(
    client: Any, key: str, place: re.Match[str], records: dict[tuple[str, str], dict[str, str]]
) -> list[str]:
    """Return who has a place of a tenant with limits and does not live, or lives without one, or with another size."""
    tenant, owner = place["tenant"], place["owner"]
    live = {
        each: record
        for (whose, each), record in records.items()
        if whose == tenant
        and _is_live(record)
        and owner in (None, record.get("owner"))
        and client.exists(f"{key.split(':')[0]}:{key.split(':')[1]}:{tenant}:session:{each}")
    }
    if place["what"] == "live":
        return [f"{key} {each}" for each in set(client.zrange(key, 0, -1)) ^ set(live)]
    held = client.hgetall(key)
    total = int(held.pop("/bytes", 0))
    wrong = [f"{key} {each}" for each in set(held) ^ set(live)]
    wrong += [f"{key} {each}" for each in set(held) & set(live) if held[each] != _place(client, key, each, live[each])]
    return wrong if total == sum(int(each.split("/")[0]) for each in held.values()) else [*wrong, f"{key} /bytes"]


_KEPT = ("id", "tenant", "kind", "status", "version", "ttl_ms", "max_lifetime_ms", "end_reason")
_TIMES = ("created_at_ms", "updated_at_ms", "accessed_at_ms", "expires_at_ms", "ended_at_ms")


def _place(client: Any, key: str, session_id: str, record: dict[str, str]) -> str:
    size = sum(
        len(f"{name}{value}".encode())
        for name, value in record.items()
        if name not in (*_KEPT, *_TIMES) and not name.startswith("_")
    )
    for log in filter(None, record.get("_logs", "").split(",")):
        entries = client.lrange(key.replace(":places", f":log:{session_id}:{log}"), 0, -1)
        size += sum(len(entry.encode()) for entry in entries)
    return f"{size}/{record.get('owner', '')}"


def _is_live(record: dict[str, str] | None) -> bool:
    return record is not None and record["status"] in _LIVE


def _belongs(key: str, record: dict[str, str] | None) -> bool:
    if record is None:
        return False
    if key.endswith(":deadlines"):
        return _is_live(record) and "expires_at_ms" in record
    return key.endswith(":dirty") or not _is_live(record)


def _indexed(index: str, record: dict[str, str] | None) -> bool:
    if record is None:
        return False
    field, _, value = index.partition(":")
    if field == "status":
        return value == f"{record['kind']}:{record['status']}"
    if field + "[]" in record["_indexes"].split(","):
        return f'"{value}"' in record.get(field, "")
    return record.get(field) == value
