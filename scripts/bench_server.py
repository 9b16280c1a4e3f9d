"""What each script costs Redis: microseconds of its own time, at typical sizes and at the largest that are allowed.

Redis runs one thing at a time, so what a script takes everybody waits for. The times are Redis's own, without network
and client. Beside the typical time stands its floor: what the script's commands take without it; and beside them what
both cost the server with all that belongs to a call (see bench_server_floor.py). The longest calls are from SLOWLOG,
which has each call by itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

import bench_server_cases
import bench_server_floor
import bench_server_typical
import bench_server_upkeep
from bench_server_world import Case, prepared
from sojourn.scripts import lua_folder, script

__all__ = ["LONGEST_US", "cases", "names", "run"]

LONGEST_US: Final = 5_000
"""What no script is to take longer than."""
_KEPT: Final = 100_000


@dataclass
class _Times:
    """Of one script, in microseconds."""

    typical: bench_server_floor.Spent = field(default_factory=bench_server_floor.Spent)
    largest: int = 0
    """Of each case's rounds the one whose longest call was shortest; of the cases the longest."""
    case: str = ""
    """The one that took longest."""


class Watch:
    """Has Redis note how long each script takes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.names = {script(name).sha: name for name in names()}
        client.config_set("slowlog-max-len", _KEPT)

    @contextmanager
    def watching(self) -> Iterator[dict[str, list[int]]]:
        """Within it, each call of a script is noted; afterwards the times are in what it gave."""
        found: dict[str, list[int]] = {}
        self._client.slowlog_reset()
        self._client.config_set("slowlog-log-slower-than", 0)
        try:
            yield found
        finally:
            self._client.config_set("slowlog-log-slower-than", -1)
        for each in self._client.slowlog_get(_KEPT):
            words = each["command"].split(b" ", 2)
            name = self.names.get(words[1].decode()) if words[0].upper() == b"EVALSHA" else None
            if name is not None:
                found.setdefault(name, []).append(each["duration"])


def names() -> list[str]:
    """The scripts there are."""
    return sorted(path.stem for path in Path(lua_folder()).glob("*.lua"))


def cases() -> tuple[Case, ...]:
    """All that is measured."""
    return (*bench_server_typical.CASES, *bench_server_cases.CASES, *bench_server_upkeep.CASES)


def run(url: str, rounds: int) -> list[dict[str, Any]]:
    """Measure every script; the one that takes longest first.

    Args:
        url: an empty Redis.
        rounds: of each case; the quickest counts, for what else the machine does only adds to it.
    """
    times = {name: _Times() for name in names()}
    client = redis.Redis.from_url(url)
    with closing(client):
        for name in times:
            client.script_load(script(name).source)
        watch = Watch(client)
        for case in cases():
            if case.is_largest:
                _measure(case, client, url, rounds, watch, times)
            else:
                _measure_typical(case, client, url, rounds, watch, times)
    rows = [_row(name, each) for name, each in times.items()]
    return sorted(rows, key=lambda row: -max(row["largest_us"], row["typical_us"]))


def _measure(case: Case, client: Any, url: str, rounds: int, watch: Watch, times: dict[str, _Times]) -> None:
    longest: dict[str, list[int]] = {}
    for _ in range(rounds):
        client.flushall()
        with prepared(case, url) as act, watch.watching() as found:
            act()
        missing = sorted(set(case.of) - found.keys())
        if missing:
            raise AssertionError(f"the case '{case.name}' did not call {', '.join(missing)}")
        for name, each in found.items():
            longest.setdefault(name, []).append(max(each))
    for name, each in longest.items():
        own = times[name]
        if min(each) > own.largest:
            own.largest, own.case = min(each), case.name


def _measure_typical(case: Case, client: Any, url: str, rounds: int, watch: Watch, times: dict[str, _Times]) -> None:
    client.flushall()
    with bench_server_floor.recording(url, watch.names) as steps, prepared(case, url) as act:
        act()
    for name, spent in bench_server_floor.measure(client, steps, rounds).items():
        if not times[name].typical.calls:  # each script is in the first case that has it
            times[name].typical = spent


def _row(name: str, times: _Times) -> dict[str, Any]:
    typical = times.typical
    return {
        "name": name,
        "calls": typical.calls,
        "typical_us": statistics.median(typical.script_us or [0.0]),
        "floor_us": statistics.median(typical.floor_us or [0.0]),
        "typical_cpu_us": statistics.median(typical.script_cpu_us or [0.0]),
        "floor_cpu_us": statistics.median(typical.floor_cpu_us or [0.0]),
        "largest_us": times.largest,
        "case": times.case,
    }
