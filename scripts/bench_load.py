"""The load of `scripts/load` as a section: ten times what is asked of a service, from several processes."""

from __future__ import annotations

import _load
from bench_registry import Bench, Found, Option, Row, section

__all__ = ["run"]


@section(
    "load",
    Option("load-factor", 10.0, "times the load that scripts/load calls 1"),
    Option("load-seconds", 30.0, "for how long"),
    alone=True,
)
def run(bench: Bench) -> Found:
    """A mixed load at a planned rate: what each operation took, and whether anything was lost."""
    arguments = ["--factor", str(bench.options.load_factor), "--seconds", str(bench.options.load_seconds)]
    if bench.options.redis:
        arguments += ["--redis", bench.options.redis]
    outcome = _load.load(bench.options.load_factor, _load.parse(arguments))
    _load.show(outcome)
    told, against = outcome.told, f"factor {bench.options.load_factor:g}, from the planned moment"
    rows = [
        Row(f"p99 under load, {name}", against, [histogram.at(0.99) / 1000], "ms", at_most=_load.LIMIT_MS,
            details={"done, /s": told.done[name] / told.took_s, "median, ms": histogram.at(0.5) / 1000})
        for name, histogram in told.latencies.items()
    ]  # fmt: skip
    planned, done = told.planned.total(), told.done.total()
    rows += [
        Row("calls that were done, of those planned", against, [100 * done / planned], "%", at_least=100),
        Row("calls that failed, or were lost", against, [told.failed.total() + outcome.wrong.total()], "", at_most=0),
    ]
    return Found(rows, outcome.as_json())
