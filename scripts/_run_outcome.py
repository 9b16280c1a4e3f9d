"""What came of the main job: what was done, beside what Postgres holds."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import redis
from rich.console import Console
from rich.table import Table

from _document import Done
from sojourn.keys import TenantKeys
from sojourn.settings import load_settings

__all__ = ["report", "wait_until_settled"]

SETTLED_WITHIN_S = 120.0
console = Console()


def wait_until_settled(home: Path, done: Done) -> dict[str, Any]:
    """Wait until nothing of ours waits for the archive and each end had its hook; what Postgres holds then."""
    settings = load_settings()
    keys = TenantKeys.of(settings.tenant, settings.partitions)
    client: Any = redis.Redis.from_url(settings.redis_url, decode_responses=True)
    ended = sum(done.statuses.values())
    deadline = time.monotonic() + SETTLED_WITHIN_S
    with console.status("waiting for expiries, hooks and the archive"), contextlib.closing(client):
        while True:
            waiting = [
                each for each in client.zrange(keys.partition.dirty, 0, -1) if each.startswith(keys.tenant + "/")
            ]
            hooks = hooks_that_ran(home, settings.tenant)
            found = archived(settings.archive_url or "", settings.tenant)
            settled = not waiting and hooks["events"] >= ended and found["events"] == client_events(found)
            if (settled and sum(found["statuses"].values()) >= ended) or time.monotonic() > deadline:
                return found | {"hooks": hooks, "waiting": len(waiting)}
            time.sleep(0.2)


def client_events(found: dict[str, Any]) -> int:
    """How many events the archive must hold: a session's versions are numbered without a gap, each with its event."""
    return int(found["versions"])


def hooks_that_ran(home: Path, tenant: str) -> dict[str, int]:
    """What the hook noted of our tenant; a Redis that was there before may tell of others."""
    noted = [json.loads(line) for line in (home / "hooks.jsonl").read_text().splitlines()]
    lines = [line for line in noted if line["tenant"] == tenant]
    types = Counter(line["type"] for line in {line["event"]: line for line in lines}.values())
    return {
        "calls": len(lines),
        "events": len({line["event"] for line in lines}),
        "found": len({line["event"] for line in lines if line["found"]}),
        **{f"type {name}": count for name, count in types.items()},
    }


def archived(url: str, tenant: str) -> dict[str, Any]:
    """What Postgres holds of a tenant, asked in SQL rather than through the library that wrote it."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        statuses: dict[str, int] = dict(
            connection.execute(
                "SELECT status, count(*) FROM sojourn.sessions WHERE tenant = %s GROUP BY status", (tenant,)
            ).fetchall()
        )
        sums = connection.execute(
            """SELECT coalesce(sum((data->>'processed_files')::int), 0),
                      coalesce(sum(jsonb_array_length(CASE jsonb_typeof(data->'failed_files') WHEN 'array'
                          THEN data->'failed_files' ELSE (data->>'failed_files')::jsonb END)), 0),
                      coalesce(sum((data->'metadata'->>'documented')::int), 0),
                      coalesce(sum((data->'metadata'->>'undocumented')::int), 0),
                      coalesce(sum(version), 0)
               FROM sojourn.sessions WHERE tenant = %s""",
            (tenant,),
        ).fetchone()
        notes = connection.execute(
            "SELECT count(*) FROM sojourn.session_entries WHERE tenant = %s AND log = 'notes'", (tenant,)
        ).fetchone()
        events = connection.execute(
            "SELECT count(*) FROM sojourn.session_events WHERE tenant = %s", (tenant,)
        ).fetchone()
    assert sums is not None  # noqa: S101 - aggregates always give a row
    names = ("processed", "failed", "documented", "undocumented", "versions")
    return {
        "statuses": statuses,
        **dict(zip(names, map(int, sums), strict=True)),
        "notes": notes[0] if notes else 0,
        "events": events[0] if events else 0,
    }


def report(done: Done, found: dict[str, Any]) -> bool:
    """Print what was done beside what Postgres holds; return whether they agree."""
    hooks = found["hooks"]
    rows: list[tuple[str, int, int]] = [
        (f"sessions {status}", done.statuses.get(status, 0), found["statuses"].get(status, 0))
        for status in sorted({*done.statuses, *found["statuses"]})
    ]
    rows += [
        ("files processed", done.processed, found["processed"]),
        ("files that do not parse", done.failed, found["failed"]),
        ("notes", done.notes, found["notes"]),
        ("definitions documented", done.documented, found["documented"]),
        ("definitions undocumented", done.undocumented, found["undocumented"]),
        ("events", found["versions"], found["events"]),
        ("hooks: sessions ended", done.statuses.get("completed", 0), hooks.get("type ended", 0)),
        ("hooks: sessions expired", done.statuses.get("expired", 0), hooks.get("type expired", 0)),
        ("hooks that got the last state", sum(done.statuses.values()), hooks["found"]),
        ("hooks that ran twice", 0, hooks["calls"] - hooks["events"]),
        ("sessions that wait for the archive", 0, found["waiting"]),
    ]
    table = Table("", "done", "archived", "")
    for name, ours, theirs in rows:
        table.add_row(name, str(ours), str(theirs), "ok" if ours == theirs else "DIFFERS")
    for index in (1, 2):
        table.columns[index].justify = "right"
    console.print(table)
    return all(ours == theirs for _, ours, theirs in rows)
