"""Counts what is left in Redis of sessions that are no longer there."""

from __future__ import annotations

import re
from typing import Any

import redis

__all__ = ["strays"]

_KEY = re.compile(r"sojourn:\{\d+\}:(?P<tenant>[^:]+):(?P<what>session|lease|log|index|tokens?):(?P<rest>.+)")
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
    match = _KEY.fullmatch(key)
    if not match or match["what"] == "session":
        return []
    tenant, rest = match["tenant"], match["rest"]
    if match["what"] == "lease":
        return [] if _is_live(records.get((tenant, rest))) else [key]
    if match["what"] == "token":
        token = client.hgetall(key)
        if not token:
            return []  # its time was over just now
        listed = client.zrange(key.replace(f"token:{rest}", f"tokens:{token['session']}"), 0, -1)
        is_known = any(each.endswith(f":{rest}") for each in listed)
        return [] if is_known and _is_live(records.get((tenant, token["session"]))) else [key]
    if match["what"] == "tokens":
        now_ms = client.time()[0] * 1000
        known = [f"{key.removesuffix(f's:{rest}')}:{each[0].split(':')[2]}" for each in
                 client.zrange(key, 0, -1, withscores=True) if each[1] > now_ms + 1000]  # fmt: skip
        is_whole = not known or client.exists(*known) == len(known)
        return [] if is_whole and _is_live(records.get((tenant, rest))) else [key]
    if match["what"] == "log":
        session_id, _, name = rest.partition(":")
        logs = records.get((tenant, session_id), {}).get("_logs", "")
        return [] if name in logs.split(",") else [key]
    return [
        f"{key} {each}"
        for each in client.zrange(key, 0, -1)
        if not _indexed(rest, records.get((tenant, each)))
    ]  # fmt: skip


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
