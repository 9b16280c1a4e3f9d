"""Sojourn's speed, in ratios within one run: both sides in turn, medians of several rounds.

Whatever is measured is held against its aim, and can be written to a file, from which docs/performance.md is
written, and against which a later run can be held.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import redis
from rich.console import Console

import _bench_document
import _bench_results
import bench_registry
from bench_registry import Bench, Section
from sojourn.embedded import RedisServer

ROOT: Final = Path(__file__).resolve().parent.parent
console = Console(width=None if sys.stdout.isatty() else 180)


def main(arguments: list[str]) -> int:
    """Run the chosen sections; return 0 whatever they measured."""
    sections = bench_registry.load()
    options = parse(arguments, sections)
    old = _bench_results.Results.read(options.compare) if options.compare else None
    if options.figures:
        results = _bench_results.Results.read(options.figures)
    else:
        results = measured([sections[name] for name in options.chosen], options)
    if old is not None:
        console.print(_bench_results.comparison(old, results))
    else:
        console.print(_bench_results.summary(results))
    if options.document:
        _bench_document.write(_bench_results.Results.read(_bench_document.FIGURES))
    return 0


def measured(chosen: list[Section], options: argparse.Namespace) -> _bench_results.Results:
    """Run them one after the other, each on a Redis of its own; each goes into the file as soon as it is there."""
    results = _bench_results.Results()
    began = time.perf_counter()
    for section in chosen:
        console.print(f"[bold]{section.name}[/bold]: {section.about}")
        started = time.perf_counter()
        with server(options.redis) as url:
            facts = machine(url)
            found = section.run(Bench(url, options.rounds, options.calls, options))
        results.add(section.name, facts, time.perf_counter() - started, found)
        for table in found.tables:
            console.print(table)
        console.print(f"{section.name}: {results[section.name].took_s:.0f} s")
        if options.json is not None:
            results.write(options.json)
    console.print(f"all of it: {time.perf_counter() - began:.0f} s")
    return results


def parse(arguments: list[str], sections: Mapping[str, Section]) -> argparse.Namespace:
    """The command line; `chosen` are the names of the sections to run."""
    usual = [name for name, each in sections.items() if not each.alone]
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="sections:\n" + "\n".join(f"  {name:10} {each.about}" for name, each in sections.items()),
    )  # fmt: skip
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"what to measure (default: {', '.join(usual)})")
    parser.add_argument("--all", action="store_true", help="every section, also those that are measured alone")
    for name, each in sections.items():
        if each.alone:
            parser.add_argument(f"--{name}", action="append_const", dest="alone", const=name, help=each.about)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each side (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=400, help="calls in a round (default: %(default)s)")
    for each in sections.values():
        for option in each.options:
            parser.add_argument(
                f"--{option.name}", type=type(option.default), default=option.default, metavar="N",
                help=f"{each.name}: {option.help} (default: %(default)s)",
            )  # fmt: skip
    parser.add_argument("--redis", metavar="PATH", help="redis-server to use (default: on PATH, else the embedded one)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the figures there; other sections in it stay"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="OLD", help="print what differs from the figures in that file; without"
        " sections, those are measured that it has",
    )  # fmt: skip
    parser.add_argument(
        "--document", action="store_true", help="write the tables and pictures of docs/performance.md from"
        " docs/performance.json; alone it measures nothing",
    )  # fmt: skip
    parser.add_argument("--figures", type=Path, metavar="FILE", help="measure nothing: take the figures from that file")
    options = parser.parse_intermixed_args(arguments)
    unknown = [name for name in options.sections if name not in sections]
    if unknown:
        parser.error(f"there is no section {', '.join(unknown)}; there are {', '.join(sections)}")
    for path in (options.compare, options.figures):
        if path is not None and not path.is_file():
            parser.error(f"there is no file {path}")
    options.chosen = _chosen(options, list(sections), usual)
    if options.document and not (options.all or options.sections or options.alone or options.compare):
        options.figures = options.figures or _bench_document.FIGURES
    return options


def _chosen(options: argparse.Namespace, every: list[str], usual: list[str]) -> list[str]:
    if options.all:
        return every
    named = [*options.sections, *(options.alone or [])]
    if not named and options.compare is not None:
        named = list(_bench_results.Results.read(options.compare))
    return [name for name in every if name in named] if named else usual


@contextlib.contextmanager
def server(executable: str | None) -> Iterator[str]:
    """A Redis of our own, without persistence."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as folder:
        chosen = executable or shutil.which("redis-server")
        with RedisServer.start(Path(folder) / "redis", executable=chosen) as started:
            yield started.url


def machine(url: str) -> dict[str, str]:
    """What the figures were measured on: versions and sizes, and nothing that names the machine."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        return {
            "Redis": str(client.info("server")["redis_version"]),
            "Python": platform.python_version(),
            "redis-py": version("redis"),
            "hiredis": version("hiredis"),
            "pydantic": version("pydantic"),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": str(os.cpu_count()),
        }


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
