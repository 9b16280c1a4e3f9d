"""Sojourn's speed, in ratios to the bare client: both sides in one process, in turn, medians of several rounds."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

import bench_archive
import bench_cache
import bench_calls
import bench_cleanup
import bench_expiry
import bench_memory
import bench_server
import bench_telemetry
import bench_tenancy
from sojourn.embedded import RedisServer

console = Console()


def main() -> int:
    """Run the chosen parts; return 0 whatever they measured."""
    options = parse()
    results: dict[str, Any] = {}
    with server(options.redis) as url:
        results["machine"] = machine(url)
        console.print(" · ".join(f"{name} {value}" for name, value in results["machine"].items()))
        if options.server:
            results["server"] = bench_server.run(url, min(options.rounds, 5))
            show_server(results["server"])
        if "calls" in options.parts:
            results["calls"] = calls(url, options)
        if "tenancy" in options.parts:
            results["tenancy"] = tenancy(url, options)
        if "telemetry" in options.parts:
            results["telemetry"] = telemetry(url, options)
        if "cache" in options.parts:
            results["cache"] = bench_cache.run(url, options.rounds)
            show_cache(results["cache"])
        if "memory" in options.parts:
            results["memory"] = bench_memory.run(url)
            show_memory(results["memory"])
        if "expiry" in options.parts:
            results["expiry"] = bench_expiry.run(url, options.live, options.due, options.over)
            show_expiry(results["expiry"])
        if "cleanup" in options.parts:
            results["cleanup"] = bench_cleanup.run(url, options.inactive, options.rounds)
            show_cleanup(results["cleanup"])
        if "archive" in options.parts:
            results["archive"] = bench_archive.run(url, options.dirty, options.rounds)
            show_archive(results["archive"])
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2))
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", help="calls, tenancy, telemetry, cache, memory, expiry, cleanup, archive; all if none"
    )
    parser.add_argument("--server", action="store_true", help="instead of all that, what each script costs Redis")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each side (default: 9)")
    parser.add_argument("--calls", type=int, default=400, help="calls in a round (default: 400)")
    parser.add_argument("--live", type=int, default=200_000, help="live sessions while others expire")
    parser.add_argument("--due", type=int, default=2_000, help="sessions that expire")
    parser.add_argument("--over", type=float, default=10.0, help="seconds over which they do")
    parser.add_argument("--inactive", type=int, default=1_000, help="sessions that are cleaned up (default: 1000)")
    parser.add_argument("--dirty", type=int, default=10_000, help="sessions that are archived (default: 10000)")
    parser.add_argument("--redis", metavar="PATH", help="redis-server to use (default: on PATH, else the embedded one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    known = {"calls", "tenancy", "telemetry", "cache", "memory", "expiry", "cleanup", "archive"}
    if options.server and options.parts:
        parser.error("--server is measured alone")
    options.parts = set(options.parts) or (set() if options.server else known)
    if not options.parts <= known:
        parser.error(f"parts are {', '.join(sorted(known))}")
    return options


@contextlib.contextmanager
def server(executable: str | None) -> Iterator[str]:
    """A Redis of our own, without persistence."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as folder:
        chosen = executable or shutil.which("redis-server")
        with RedisServer.start(Path(folder) / "redis", executable=chosen) as started:
            yield started.url


def machine(url: str) -> dict[str, str]:
    """What the figures were measured on."""
    client = redis.Redis.from_url(url)
    with contextlib.closing(client):
        return {
            "Python": platform.python_version(),
            "Redis": str(client.info("server")["redis_version"]),
            "redis-py": redis.__version__,
            "cores": str(os.cpu_count()),
        }


def calls(url: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time single and batched calls against the bare client."""
    rows: list[dict[str, Any]] = []
    rows += [bench_calls.measure(pair, options.rounds, options.calls) for pair in bench_calls.sync_pairs(url)]
    rows += asyncio.run(bench_calls.async_rows(url, options.rounds, options.calls))
    show_ratios(rows, "call", "bare us", "Sojourn us")
    return rows


def tenancy(url: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time calls under limits, with tokens and with secrets against the plain ones."""
    rows = [bench_calls.measure(pair, options.rounds, options.calls) for pair in bench_tenancy.pairs(url)]
    show_ratios(rows, "tenancy", "without us", "with us")
    return rows


def telemetry(url: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time calls that are observed against those that are not."""
    rows = [bench_calls.measure(pair, options.rounds, options.calls) for pair in bench_telemetry.pairs(url)]
    show_ratios(rows, "telemetry", "without us", "with us")
    return rows


def show_ratios(rows: list[dict[str, Any]], *titles: str) -> None:
    """Print both sides and their ratio."""
    table = Table(*titles, "ratio", "rounds from .. to")
    for row in rows:
        low, high = min(row["ratios"]), max(row["ratios"])
        ratio = statistics.median(row["ratios"])
        table.add_row(
            row["name"], f"{row['bare_us']:.1f}", f"{row['ours_us']:.1f}", f"{ratio:.2f}", f"{low:.2f} .. {high:.2f}"
        )
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)


def show_server(rows: list[dict[str, Any]]) -> None:
    """Print what each script costs Redis, and which ones cost more than any should."""
    table = Table("script", "calls", "typical us", "floor us", "ratio", "largest us", "the largest")
    for row in rows:
        largest = f"{row['largest_us']:.0f}" if row["case"] else ""
        ratio = f"{row['typical_us'] / row['floor_us']:.2f}" if row["floor_us"] else ""
        table.add_row(
            row["name"], str(row["calls"]), f"{row['typical_us']:.0f}", f"{row['floor_us']:.0f}", ratio, largest,
            row["case"],
        )  # fmt: skip
    for column in table.columns[1:6]:
        column.justify = "right"
    console.print(table)
    longer = [row["name"] for row in rows if row["largest_us"] > bench_server.LONGEST_US]
    told = ", ".join(longer) or "none"
    console.print(f"longer than {bench_server.LONGEST_US / 1000:g} ms: {told}")


def show_cache(found: dict[str, Any]) -> None:
    """Print what a near cache gives and costs."""
    table = Table("near cache", "by CPU time", "by the clock")
    for name, each in found["hits_per_s"].items():
        table.add_row(f"hits/s, {name}", f"{each['process']:,.0f}", f"{each['wall']:,.0f}")
    console.print(table)
    lag = found["staleness_us"]
    console.print(f"a change is known after {lag['p50']:.0f} us, at the 99th percentile {lag['p99']:.0f} us")
    table = Table("caches that listen", "update us", "server us", "ratio")
    for row in found["writers"]:
        ratio = row["server_us"] / found["writers"][0]["server_us"]
        table.add_row(f"{row['listeners']:.0f}", f"{row['update_us']:.0f}", f"{row['server_us']:.0f}", f"{ratio:.2f}")
    console.print(table)


def show_memory(found: dict[str, float]) -> None:
    """Print bytes per session."""
    table = Table("memory", "bytes per session", "times the bare hash")
    for name, value in found.items():
        table.add_row(name, f"{value:.0f}", f"{value / found['bare hash']:.2f}")
    console.print(table)


def show_expiry(found: dict[str, Any]) -> None:
    """Print how late the claims were."""
    table = Table("expiry", "")
    for name, value in found.items():
        table.add_row(name, f"{value:g}")
    console.print(table)


def show_cleanup(found: dict[str, Any]) -> None:
    """Print how long it takes, and how long another client's gets take meanwhile."""
    table = Table(
        f"cleanup of {found['sessions']} sessions", "s", "others' p99, us, idle", "ratio", "rounds from .. to"
    )
    for case in bench_cleanup.CASES:
        row = found[case]
        ratios = row["ratios"]
        table.add_row(
            case, f"{row['s']:.2f}", f"{row['idle_p99_us']:.0f}", f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} .. {max(ratios):.2f}",
        )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)


def show_archive(found: dict[str, Any]) -> None:
    """Print how fast sessions and their events come into the archive."""
    title = f"archive, {found['sessions']} sessions with an event each, PostgreSQL {found['PostgreSQL']}"
    table = Table(title, "bare rows/s", "Sojourn rows/s", "bare s", "Sojourn s", "ratio of times", "rounds from .. to")
    for case in ("new", "newer"):
        row = found[case]
        table.add_row(
            f"{case} rows", f"{row['bare_rows_per_s']:.0f}", f"{row['archive_rows_per_s']:.0f}",
            f"{row['bare_s']:.2f}", f"{row['archive_s']:.2f}", f"{statistics.median(row['ratios']):.2f}",
            f"{min(row['ratios']):.2f} .. {max(row['ratios']):.2f}",
        )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
