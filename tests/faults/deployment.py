"""All the workers of a deployment, each role a process that a test can kill, and what they still have to do."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import psycopg
import redis
from tests.waiting import eventually
from tests.worker.processes import Process, Processes, settings_for

from sojourn.events import ARCHIVE_GROUP, dispatch_group
from sojourn.settings import Settings

__all__ = ["ROLES", "Deployment", "backlog", "catch_up", "deployed", "rows", "session_keys", "unindexed"]

ROLES = ("listen", "dispatch", "jobs:hooks", "jobs:archive", "schedule")
_READY = {"listen": "listening", "dispatch": "dispatching", "schedule": "scheduling"}


def deployed(url: str, archive_url: str | None = None, *, hook: str = "record", **more: Any) -> Settings:
    """Settings with a hook for expiries and lost records, and everything periodic twice a second."""
    told = {"events": ["expired", "lost"], "function": f"tests.faults.hook_functions:{hook}", "batch": 20}
    given: dict[str, Any] = {
        "hooks": {"told": told},
        "archive_interval": 0.5,
        "backstop_interval": 0.5,
        "log_level": "info",
        **more,
    }
    return settings_for(url, archive_url=archive_url, **given)


class Deployment:
    """One process for each role."""

    def __init__(self, processes: Processes, settings: Settings, roles: Sequence[str] = ROLES) -> None:
        self._processes = processes
        self._settings = settings
        self.roles: dict[str, Process] = {}
        for role in roles:
            self.start(role)

    def start(self, role: str) -> Process:
        """Start a role, anew where its process has ended."""
        self.roles[role] = self._processes.role(role, self._settings)
        return self.roles[role]

    def ready(self) -> None:
        """Wait until all are at work."""
        for role, process in self.roles.items():
            process.logged(_READY.get(role, "working on queue"))

    def alive(self) -> bool:
        """Whether no process has ended."""
        return all(each.popen.poll() is None for each in self.roles.values())


def backlog(client: redis.Redis, settings: Settings) -> dict[str, int]:
    """What the workers still have to do, by what; empty when they have caught up."""
    found: dict[str, int] = {}
    groups = [dispatch_group(settings.queue_prefix)]
    if settings.archive_url is not None:
        groups.append(ARCHIVE_GROUP)
    now_ms = 1000 * int(client.time()[0])
    for partition in settings.all_partitions:
        found[f"due in {partition.number}"] = client.zcount(partition.deadlines, 0, now_ms)
        found[f"to be removed from {partition.number}"] = client.zcount(partition.removals, 0, now_ms)
        if settings.archive_url is not None:
            found[f"dirty in {partition.number}"] = client.zcard(partition.dirty)
        for group in groups:
            found[f"{group} in {partition.number}"] = _unread(client, partition.events, group)
    for kind in ("hooks", "archive"):
        name = f"{settings.queue_prefix}-{kind}"
        # The periodic jobs come and go.
        ours = [each for each in _jobs(client, name) if not each.startswith(settings.queue_prefix)]
        found[f"jobs in {name}"] = len(ours)
    return {what: count for what, count in found.items() if count}


def _unread(client: redis.Redis, events: str, group: str) -> int:
    groups: Any = client.xinfo_groups(events) if client.exists(events) else []
    for each in groups:
        if each["name"] == group:
            beyond: Any = client.xrange(events, min=f"({each['last-delivered-id']}", count=1)
            return int(each["pending"]) + len(beyond)
    return int(client.xlen(events))


def _jobs(client: redis.Redis, queue: str) -> list[str]:
    ids: list[Any] = [*client.lrange(f"rq:queue:{queue}", 0, -1)]
    ids += client.lrange(f"rq:queue:{queue}:intermediate", 0, -1)
    for registry in ("wip", "scheduled", "failed"):
        ids += client.zrange(f"rq:{registry}:{queue}", 0, -1)
    return [str(each) for each in ids]


def catch_up(client: redis.Redis, settings: Settings, *, deadline_s: float) -> float:
    """Wait until the workers have nothing left to do; how long that took, in seconds."""
    began = time.monotonic()
    try:
        eventually(lambda: not backlog(client, settings), deadline_s=deadline_s)
    except AssertionError:
        raise AssertionError(f"not within {deadline_s} s: {backlog(client, settings)}") from None
    return time.monotonic() - began


def rows(settings: Settings, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run SQL on the archive."""
    with psycopg.connect(str(settings.archive_url), autocommit=True) as connection:
        return connection.execute(statement.encode(), values or None).fetchall()


def session_keys(client: redis.Redis) -> list[str]:
    """The keys of all records. The pattern alone would also match an index of the kind `session`."""
    return [key for key in client.scan_iter("sojourn:{*}:*:session:*", count=1000) if key.count(":") == 4]


def unindexed(client: redis.Redis) -> list[str]:
    """Every place in an index that a record should have and has not: what `tests.census.strays` does not see."""
    found: list[str] = []
    for key in session_keys(client):
        record: Any = client.hgetall(key)
        if not record:
            continue  # it went in this moment
        _, partition, tenant, _, session_id = key.split(":")
        prefix = f"sojourn:{partition}:"
        places = {f"{prefix}{tenant}:index:status:{record['kind']}:{record['status']}": session_id}
        for spec in filter(None, record["_indexes"].split(",")):
            field = spec.removesuffix("[]")
            value = record.get(field, "")
            values = json.loads(value) if value and spec.endswith("[]") else [value]
            places |= {f"{prefix}{tenant}:index:{field}:{each}": session_id for each in values if each}
        if record["status"] in ("pending", "in_progress"):
            if "expires_at_ms" in record:
                places[f"{prefix}deadlines"] = f"{tenant}/{session_id}"
        else:
            places[f"{prefix}removals"] = f"{tenant}/{session_id}"
        found += [f"{place} {member}" for place, member in places.items() if client.zscore(place, member) is None]
    return found
