"""What the queues' Redis tells of a deployment's jobs: what went wrong, what waits, and who is there to take it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import redis
from redis.exceptions import RedisError, ResponseError

from sojourn import redis_urls
from sojourn.keys import queue_counts
from sojourn.operations.core import is_of_another_type
from sojourn.settings import Settings

__all__ = ["LONGEST_COUNT", "SCHEDULER_SEEN", "JobQueues", "read_job_queues", "whole"]

KINDS: Final = ("hooks", "archive")
SCHEDULER_SEEN: Final = "scheduler_seen_ms"
"""The field beside the counts that says when the scheduler last told that it is there."""
LONGEST_COUNT: Final = 19
"""Digits of the largest number that Redis counts up to."""
_WORKER: Final = "rq:worker:"
_ALIVE_S: Final = 30.0
"""A worker tells every other second that it is there, by the clock of its machine, which need not be Redis's."""


@dataclass(frozen=True)
class JobQueues:
    """What was found."""

    counts: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Jobs in each queue, by the queue's name."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """Workers of each queue that are alive."""
    greedy: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Those of them that take jobs from several queues, which no worker of ours does: the queues of each, by its name.
    From one queue RQ moves a job to a list where it is found again; from several it pops it, and a worker that dies
    then loses it."""
    scheduled_at_s: float | None = None
    """When a scheduler last told that it is there, by that Redis's clock; None: never."""
    odd_keys: tuple[str, ...] = ()
    """Keys of another type than they should be."""


def whole(text: str) -> int | None:
    """A count as Redis keeps it; None for anything else, which other hands have written.

    Example:
        >>> whole("12"), whole("-1"), whole("9" * 400)
        (12, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_COUNT else None


def read_job_queues(settings: Settings) -> JobQueues | None:
    """Read it, in two round trips; None where that Redis does not answer."""
    connections = redis_urls.pool(
        settings.queue_url or settings.redis_url, decode_responses=True, encoding_errors="surrogateescape", protocol=2,
        socket_timeout=settings.socket_timeout, socket_connect_timeout=settings.socket_timeout,
    )  # fmt: skip
    client: Any = redis.Redis.from_pool(connections)
    with contextlib.closing(client):
        try:
            return _read(client, settings.queue_prefix)
        except (RedisError, OSError, ValueError):
            return None


def _read(client: Any, prefix: str) -> JobQueues:
    names = [f"{prefix}-{kind}" for kind in KINDS]
    odd: list[str] = []
    asked: list[tuple[str, ...]] = [
        ("TIME",),
        ("HGETALL", queue_counts(prefix)),
        *(("LLEN", f"rq:queue:{name}") for name in names),
        *(("SMEMBERS", f"rq:workers:{name}") for name in names),
    ]
    (seconds, _), counts, *replies = _ask(client, asked, odd)
    lengths, registered = replies[: len(names)], replies[len(names) :]
    keys = sorted(set().union(*(own or () for own in registered)))
    told = _ask(client, [("HMGET", each, "last_heartbeat", "queues") for each in keys], odd)
    alive = {key: (both[1] or "").split(",") for key, both in zip(keys, told, strict=True) if _is_alive(both, seconds)}
    numbers = {name: whole(text) for name, text in (counts or {}).items()}
    seen_ms = numbers.pop(SCHEDULER_SEEN, None)
    return JobQueues(
        counts={name: number for name, number in numbers.items() if number is not None},
        waiting={name: length or 0 for name, length in zip(names, lengths, strict=True)},
        workers={name: sum(key in alive for key in own or ()) for name, own in zip(names, registered, strict=True)},
        greedy={key.removeprefix(_WORKER): tuple(queues) for key, queues in alive.items() if len(queues) > 1},
        scheduled_at_s=None if seen_ms is None else seen_ms / 1000,
        odd_keys=tuple(dict.fromkeys(odd)),
    )


def _ask(client: Any, commands: Sequence[tuple[str, ...]], odd: list[str]) -> list[Any]:
    """The replies; None for a key of another type, which is noted in `odd`."""
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            name, *arguments = command
            pipe.execute_command(name, *(each.encode("utf-8", "surrogateescape") for each in arguments))
        replies = pipe.execute(raise_on_error=False)
    for index, (command, reply) in enumerate(zip(commands, replies, strict=True)):
        if is_of_another_type(reply):
            odd.append(command[1])
            replies[index] = None
        elif isinstance(reply, ResponseError):
            raise reply
    return list(replies)


def _is_alive(told: Sequence[str | None] | None, now_s: int) -> bool:
    """Whether a worker's last sign of life, the first of what was asked of it, is of these seconds."""
    try:
        last = datetime.fromisoformat((told or [""])[0] or "").replace(tzinfo=UTC)
    except ValueError:
        return False
    return now_s - last.timestamp() <= _ALIVE_S
