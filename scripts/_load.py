"""A mixed load on a Redis of its own, from several processes: creates, ends, reads, writes, lists and tokens.

Calls begin when they are planned, whatever became of those before, and their latency counts from then: a server that
stalls is not spared the calls that would have come meanwhile (what wrk2 and HdrHistogram call coordinated omission).
Afterwards what Redis has is held against what it acknowledged. The status is 0 where every rate was held, the slowest
hundredth of no operation took longer than is allowed, and nothing is lost; else 1.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

import load_check
import load_process
from load_histogram import Histogram
from load_picture import draw
from load_process import Plan, Told
from load_session import BASE, LIVE
from sojourn.embedded import RedisServer
from sojourn.settings import Settings

LIMIT_MS: Final = 100.0
"""The slowest hundredth of no operation may take longer."""
_LADDER: Final = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
_SHARES: Final = (0.5, 0.9, 0.99, 0.999)
_LONGEST_VALUE: Final = "1024"
console = Console(width=None if sys.stdout.isatty() else 140)


@dataclasses.dataclass
class Outcome:
    """What became of a load, over all its processes."""

    factor: float
    seconds: float
    told: Told
    wrong: Counter[str]
    """What was lost, or disagrees, in words, and how often."""

    @property
    def slow(self) -> list[str]:
        """The operations that were not held."""
        told = self.told
        return [
            name
            for name, histogram in told.latencies.items()
            if histogram.at(0.99) > LIMIT_MS * 1000 or told.done[name] < told.planned[name]
        ]

    @property
    def held(self) -> bool:
        """Whether all of it was held, and nothing lost."""
        return not (self.slow or self.told.failed or self.wrong)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        told = self.told
        return {
            "factor": self.factor,
            "seconds": self.seconds,
            "held": self.held,
            "failed": told.failed,
            "wrong": self.wrong,
            "operations": {
                name: {"planned": told.planned[name], "done": told.done[name], "max_us": histogram.longest}
                | {f"p{100 * share:g}_us": histogram.at(share) for share in _SHARES}
                for name, histogram in told.latencies.items()
            },
        }


def main(arguments: list[str]) -> int:
    """Run the load, or several up to the heaviest that is held; tell what became of it."""
    options = parse(arguments)
    outcomes = []
    for factor in _LADDER if options.find else (options.factor,):
        outcome = load(factor, options)
        outcomes.append(outcome)
        show(outcome)
        if options.find and not outcome.held:
            break
    held = [each for each in outcomes if each.held]
    if options.find:
        console.print(f"the heaviest load that is held: factor {held[-1].factor:g}" if held else "none is held")
    if options.json is not None:
        options.json.write_text(json.dumps([each.as_json() for each in outcomes], indent=2))
    if options.picture is not None:
        last = held[-1] if options.find and held else outcomes[-1]
        draw(last.told.latencies, LIMIT_MS, f"factor {last.factor:g}", options.picture)
    lost = any(each.wrong for each in outcomes)
    return 1 if lost or not held else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="factor 1 is, per second: " + ", ".join(f"{name} {rate:.4g}" for name, rate in BASE.items())
        + f"; on {LIVE:,} live sessions",
    )  # fmt: skip
    parser.add_argument("--factor", type=float, default=10.0, help="how many times that (default: %(default)s)")
    parser.add_argument("--find", action="store_true", help="try ever heavier loads, up to one that is not held")
    parser.add_argument("--seconds", type=float, default=30.0, help="for how long (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="that send it (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=1, help="sessions that one create makes (default: %(default)s)")
    parser.add_argument("--redis", metavar="PATH", help="redis-server to use (default: on PATH, else the embedded one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="also draw the latencies there, as PNG or SVG")
    return parser.parse_args(arguments)


def load(factor: float, options: argparse.Namespace) -> Outcome:
    """One load on an empty Redis."""
    with _server(options.redis) as url:
        # What has ended stays to be counted; it takes an hour for any to go.
        settings = Settings(redis_url=url, retention=3_600, ttl=7_200, token_access_ttl=3_600)
        told = merged(_processes(plans(settings, factor, options)))
        wrong = Counter(told.lost)
        wrong.update(load_check.drift(settings))
        there = load_check.sessions(settings)
        if not told.created <= there <= told.created + told.unsure_creates:
            wrong[f"{told.created} sessions were acknowledged, and {there} are there"] += 1
    return Outcome(factor, options.seconds, told, wrong)


def plans(settings: Settings, factor: float, options: argparse.Namespace) -> list[Plan]:
    """What each process has to do: the same share."""
    count = options.processes
    rates = {name: factor * rate / count / (options.batch if name == "create" else 1) for name, rate in BASE.items()}
    live = max(1, round(LIVE * factor / count))
    return [Plan(settings, number, rates, live, options.seconds, options.batch) for number in range(count)]


def merged(parts: list[Told]) -> Told:
    """What became of all of it."""
    whole = Told(latencies={name: Histogram() for name in BASE})
    for part in parts:
        for each in dataclasses.fields(Told):
            if each.name == "latencies":
                for name, histogram in part.latencies.items():
                    whole.latencies[name].merge([histogram])
            elif each.name == "took_s":
                whole.took_s = max(whole.took_s, part.took_s)
            else:
                setattr(whole, each.name, getattr(whole, each.name) + getattr(part, each.name))
    return whole


def _processes(plans: list[Plan]) -> list[Told]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(plans))  # each waits there, so none takes two plans
    # Unlike multiprocessing's own pool, it raises where a process dies, rather than wait for it for ever.
    with ProcessPoolExecutor(len(plans), context, load_process.share, (barrier,)) as pool:
        return list(pool.map(load_process.run, plans))


@contextlib.contextmanager
def _server(executable: str | None) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sojourn-load-") as folder:
        chosen = executable or shutil.which("redis-server")
        options = {"save": "", "appendonly": "no", "hash-max-ziplist-value": _LONGEST_VALUE}
        with RedisServer.start(Path(folder) / "redis", executable=chosen, options=options) as started:
            yield started.url


def show(outcome: Outcome) -> None:
    """Print the latencies, and what went wrong."""
    told = outcome.told
    table = Table(f"factor {outcome.factor:g}", "planned/s", "done/s", "p50 ms", "p90", "p99", "p99.9", "longest")
    for name, histogram in told.latencies.items():
        latencies = [f"{histogram.at(share) / 1000:.1f}" for share in _SHARES]
        planned, done = told.planned[name] / outcome.seconds, told.done[name] / told.took_s
        table.add_row(name, f"{planned:,.1f}", f"{done:,.1f}", *latencies, f"{histogram.longest / 1000:.1f}")
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
    refused = told.refused.total()
    console.print(
        f"{told.created:,} created, {told.ended:,} ended; {refused:,} calls came after their session's end, and were "
        f"refused; {told.failed.total():,} failed"
    )
    for text, count in (told.failed + outcome.wrong).most_common():
        console.print(f"  {count:,} x {text}")
    for name in outcome.slow:
        console.print(f"  {name}: was not held, or p99 is over {LIMIT_MS:g} ms")
    console.print("held, and nothing lost" if outcome.held else "not held")


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
