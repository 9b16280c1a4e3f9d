"""The sections whose modules tell figures, and leave to others what they are held against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.table import Table

import bench_archive
import bench_cache
import bench_cleanup
import bench_expiry
import bench_memory
import bench_server
import bench_telemetry
import bench_tenancy
from bench_calls import measure, row
from bench_registry import TIMES_ITS_RATE, Bench, Found, Option, Row, section

__all__: list[str] = []

WITH = ("with", "without")
SLOW = 5
"""Rounds of what takes seconds in each."""


@section("tenancy")
def tenancy(bench: Bench) -> Found:
    """What limits, tokens and secrets add to a call."""
    pairs = bench_tenancy.pairs(bench.url)
    return Found([row(measure(pair, bench.rounds, bench.calls), "the same without", names=WITH) for pair in pairs])


@section("telemetry")
def telemetry(bench: Bench) -> Found:
    """What observers add to a call."""
    pairs = bench_telemetry.pairs(bench.url)
    return Found([row(measure(pair, bench.rounds, bench.calls), "the same without", names=WITH) for pair in pairs])


@section("cache")
def cache(bench: Bench) -> Found:
    """How fast a near cache answers, how old that is, and what it costs those who write."""
    found = bench_cache.run(bench.url, bench.rounds)
    hits, lag_us, writers = found["hits_per_s"], found["staleness_us"], found["writers"]
    rows = [
        Row("cached get, one process", "-", [hits["sync"]["wall"]], "/s", at_least=1e6),
        Row("cached get, one process, asynchronous", "-", [hits["async"]["wall"]], "/s"),
        Row("until a cache knows of a change, p99", "-", [lag_us["p99"] / 1000], "ms", at_most=1.0,
            details={"median, ms": lag_us["p50"] / 1000}),
        *(
            Row(f"update while {each['listeners']:.0f} caches listen", "while none does",
                [each["server_us"] / writers[0]["server_us"]], "times Redis's CPU",
                details={"ours, us": each["server_us"], "bare, us": writers[0]["server_us"]})
            for each in writers if each["listeners"]
        ),
    ]  # fmt: skip
    return Found(rows, found)


@section("memory")
def memory(bench: Bench) -> Found:
    """What a session takes of Redis's memory."""
    found = bench_memory.run(bench.url)
    table = Table("memory", "bytes per session", "times the bare hash")
    for name, value in found.items():
        table.add_row(name, f"{value:.0f}", f"{value / found['bare hash']:.2f}")
    packed = ", hash-max-listpack-value 1024"
    whole = found[f"session with lease and indexes{packed}"] + found[f"its event, until read{packed}"]
    bare = found[f"bare hash{packed}"]
    details = {"ours, bytes": whole, "bare, bytes": bare}
    rows = [
        Row("memory: 20 fields and 1 KB, all indexes, lease, event", "the bare hash as a listpack", [whole / bare],
            "times its bytes", at_most=1.7, details=details),
        Row("memory: the same without tags, so with three indexes", "the bare hash as a listpack",
            [(whole - found[f". index of two tags{packed}"]) / bare], "times its bytes"),
    ]  # fmt: skip
    return Found(rows, found, [table])


@section(
    "expiry",
    Option("live", 200_000, "live sessions while others expire"),
    Option("due", 2_000, "sessions that expire"),
    Option("over", 10.0, "seconds over which they do"),
    Option("at-once", 10_000, "sessions that expire at once"),
)
def expiry(bench: Bench) -> Found:
    """How late a worker claims sessions whose deadline has passed."""
    live, due, at_once = int(bench.options.live), int(bench.options.due), int(bench.options.at_once)
    found = bench_expiry.run(bench.url, live, due, bench.options.over)
    burst = bench_expiry.run(bench.url, 0, at_once, 0.0)
    table = Table("expiry", "spread", "at once")
    for name, value in found.items():
        table.add_row(name, f"{value:g}", f"{burst[name]:g}")
    spread, among = f"{due:,} due over {bench.options.over:g} s", f"{live:,} live"
    rows = [
        Row(f"expiry lag, p99, {spread}", among, [found["p99 lag, ms"]], "ms", at_most=25),
        Row(f"claimed, {spread}", among, [100 * found["claimed"] / due], "%", at_least=100),
        Row(f"expiry lag, longest, {at_once:,} due at once", "-", [burst["longest lag, ms"]], "ms", at_most=300),
        Row(f"claimed, {at_once:,} due at once", "-", [100 * burst["claimed"] / at_once], "%", at_least=100),
    ]
    return Found(rows, {"spread": found, "at once": burst}, [table])


@section("cleanup", Option("inactive", 1_000, "sessions that are cleaned up"))
def cleanup(bench: Bench) -> Found:
    """How long cleaning up takes, and how much longer others wait meanwhile."""
    found = bench_cleanup.run(bench.url, int(bench.options.inactive), min(bench.rounds, SLOW))
    rows = [
        Row(
            f"p99 of another client, during cleanup of {found['sessions']:,} {case}", "its p99 otherwise",
            found[case]["ratios"], details={"cleanup, s": found[case]["s"], "idle p99, us": found[case]["idle_p99_us"]},
        )
        for case in bench_cleanup.CASES
    ]  # fmt: skip
    return Found(rows, found)


@section("archive", Option("dirty", 10_000, "sessions that are archived"))
def archive(bench: Bench) -> Found:
    """How fast sessions and their events come into the archive."""
    found = bench_archive.run(bench.url, int(bench.options.dirty), min(bench.rounds, SLOW))
    rows = []
    for case in ("new", "newer"):
        each = found[case]
        details = {"ours, rows/s": each["archive_rows_per_s"], "bare, rows/s": each["bare_rows_per_s"]}
        rows.append(
            Row(f"archive, {case} rows, end to end", "bare COPY and guarded upsert of the same rows",
                [1 / ratio for ratio in each["ratios"]], TIMES_ITS_RATE, at_least=0.6, details=details)
        )  # fmt: skip
    return Found(rows, found)


@section("server", alone=True)
def server(bench: Bench) -> Found:
    """What each script costs Redis."""
    found: list[dict[str, Any]] = bench_server.run(bench.url, min(bench.rounds, SLOW))
    titles = ("typical us", "floor us", "ratio", "CPU us", "floor CPU us", "ratio", "largest us")
    table = Table("script", "calls", *titles, "the largest")
    for each in found:
        table.add_row(
            each["name"], str(each["calls"]), *_beside(each["typical_us"], each["floor_us"]),
            *_beside(each["typical_cpu_us"], each["floor_cpu_us"]),
            f"{each['largest_us']:.0f}" if each["case"] else "", each["case"],
        )  # fmt: skip
    for column in table.columns[1:-1]:
        column.justify = "right"
    return Found([*_against_floors(found), _longest(found)], found, [table])


def _beside(typical_us: float, floor_us: float) -> tuple[str, str, str]:
    """Two times and their ratio, where they were measured."""
    return (f"{typical_us:.0f}", f"{floor_us:.0f}", f"{typical_us / floor_us:.2f}") if floor_us else ("", "", "")


DAILY = ("create_session", "update_session", "touch_session", "end_session", "claim_due")
"""The scripts of nearly all calls; the others are in the table, and the dearest of them in a row."""


def _against_floors(found: list[dict[str, Any]]) -> list[Row]:
    """What scripts cost, in times what their commands cost without them; of those of which that was measured."""
    rows = {
        each["name"]: Row(
            f"server CPU of {each['name']}", "the same commands in MULTI/EXEC",
            [each["typical_cpu_us"] / each["floor_cpu_us"]],
            at_most=2.0, details={"ours, us": each["typical_cpu_us"], "bare, us": each["floor_cpu_us"]},
        )
        for each in found
        if each.get("floor_cpu_us")
    }  # fmt: skip
    told = [rows[name] for name in DAILY if name in rows]
    others = [row for name, row in rows.items() if name not in DAILY]
    if others:
        dearest = max(others, key=lambda row: row.measured)
        told.append(replace(dearest, work=f"{dearest.work}, the dearest other"))
    return told


def _longest(found: list[dict[str, Any]]) -> Row:
    longest = max(found, key=lambda each: max(each["largest_us"], each["typical_us"]))
    took_ms = max(longest["largest_us"], longest["typical_us"]) / 1000
    return Row("longest call of any script, at any size", f"{longest['name']}: {longest['case']}", [took_ms], "ms",
               at_most=bench_server.LONGEST_US / 1000)  # fmt: skip
