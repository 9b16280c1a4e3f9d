"""The RQ jobs that wait, or run, for a session's events: read as they are in the queues' Redis, without RQ."""

from __future__ import annotations

import contextlib
import json
import zlib
from typing import Any, Final

import redis
from redis.exceptions import RedisError

from sojourn import redis_urls
from sojourn.inspection.commands import RedisCli
from sojourn.inspection.model import Item
from sojourn.operations.core import is_of_another_type
from sojourn.settings import Settings

__all__ = ["job_items"]

_PLACES: Final = (
    ("waits", "rq:queue:{}", "LRANGE"),
    ("was taken", "rq:queue:{}:intermediate", "LRANGE"),
    ("runs", "rq:wip:{}", "ZRANGE"),
    ("waits for its next try", "rq:scheduled:{}", "ZRANGE"),
    ("waits for another job", "rq:deferred:{}", "ZRANGE"),
    ("failed", "rq:failed:{}", "ZRANGE"),
)
_MOST: Final = 2_000
"""Jobs that are looked at in each of these."""
_AT_ONCE: Final = 200
_LARGEST: Final = 16_777_216
"""Bytes of one job's arguments that are looked at."""


def job_items(settings: Settings, tenant: str, session_id: str) -> tuple[list[Item], str]:
    """The jobs of hooks that are about the session; and why there are none where that Redis cannot tell."""
    cli = RedisCli.of_queues(settings)
    connections = redis_urls.pool(
        settings.queue_url or settings.redis_url, protocol=2, socket_timeout=settings.socket_timeout,
        socket_connect_timeout=settings.socket_timeout,
    )  # fmt: skip
    client: Any = redis.Redis.from_pool(connections)
    queue = f"{settings.queue_prefix}-hooks"
    try:
        with contextlib.closing(client):
            found = _jobs(client, queue)
            return [
                _item(cli, job_id, state, hook, mine)
                for job_id, (state, data) in found.items()
                for hook, events in _read(data)
                if (mine := [each["id"] for each in events if _is_about(each, tenant, session_id)])
            ], ""
    except (RedisError, OSError, ValueError) as error:
        return [], f"jobs: the queues' Redis could not be read: {str(error).splitlines()[0]}"


def _jobs(client: Any, queue: str) -> dict[str, tuple[str, bytes]]:
    with client.pipeline(transaction=False) as pipe:
        for _, key, command in _PLACES:
            pipe.execute_command(command, key.format(queue), 0, _MOST - 1)
        replies = pipe.execute(raise_on_error=False)
    states: dict[str, str] = {}
    for (state, _, _), reply in zip(_PLACES, replies, strict=True):
        if isinstance(reply, RedisError) and not is_of_another_type(reply):
            raise reply
        for each in reply if isinstance(reply, list) else ():
            job_id = each.decode("utf-8", "replace").partition(":")[0]  # one that runs is named with its execution
            states.setdefault(job_id, state)
    found = {}
    ids = list(states)
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        with client.pipeline(transaction=False) as pipe:
            for each in some:
                pipe.hget(f"rq:job:{each}", "data")
            for each, data in zip(some, pipe.execute(raise_on_error=False), strict=True):
                if isinstance(data, bytes):
                    found[each] = (states[each], data)
    return found


def _read(data: bytes) -> list[tuple[str, list[dict[str, Any]]]]:
    """The hook and the events in a job's arguments; nothing for any other job, which others may have written."""
    try:
        text = zlib.decompressobj().decompress(data, _LARGEST)
        _, _, (hook, events), _ = json.loads(text)
    except (zlib.error, ValueError, TypeError, RecursionError):
        return []
    if not isinstance(hook, str) or not isinstance(events, list):
        return []
    return [(hook, [each for each in events if isinstance(each, dict) and isinstance(each.get("id"), str)])]


def _is_about(event: dict[str, Any], tenant: str, session_id: str) -> bool:
    return event.get("tenant") == tenant and event.get("session_id") == session_id


def _item(cli: RedisCli, job_id: str, state: str, hook: str, events: list[str]) -> Item:
    told = {"job": job_id, "state": state, "hook": hook, "events": events}
    key = f"rq:job:{job_id}"
    return Item("jobs", f"job of hook {hook}", key, told, cli.line(("HMGET", key, "status", "description")))
