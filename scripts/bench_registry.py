"""What `scripts/bench` can measure: sections, each a function that yields rows, and the aim of each row.

A module `bench_NAME.py` in this folder registers what it measures; nothing else has to know of it::

    @section("list", Option("sessions", 10_000, "sessions that are listed"))
    def run(bench: Bench) -> Found:
        \"\"\"What a page costs.\"\"\"
        return Found([Row("list a page of 100", "HGETALL of the same 100", [1.4, 1.5, 1.4], at_most=2.0)])
"""

from __future__ import annotations

import argparse
import importlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table

__all__ = [
    "OF_ITS_TIME",
    "SECTIONS",
    "TIMES_ITS_RATE",
    "Bench",
    "Found",
    "Option",
    "Row",
    "Section",
    "load",
    "number",
    "section",
]

OF_ITS_TIME: Final = "of its time"
TIMES_ITS_RATE: Final = "times its rate"


@dataclass(frozen=True)
class Row:
    """One figure: what was done, against what, what each round measured, and the aim."""

    work: str
    against: str
    rounds: Sequence[float]
    unit: str = OF_ITS_TIME
    """What the figure counts: `OF_ITS_TIME` and `TIMES_ITS_RATE` are ratios to what it is held against."""
    at_most: float | None = None
    at_least: float | None = None
    """The aim; None where there is none."""
    details: dict[str, float] = field(default_factory=dict)
    """What the figure came from, by name and unit: `{"ours, us": 40.1, "bare, us": 55.0}`."""

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError(f"{self.work}: no round was measured")

    @property
    def measured(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def aim(self) -> str:
        """The aim as text; empty where there is none.

        Example:
            >>> Row("get", "bare", [0.7], at_most=0.75).aim
            '<= 0.75'
        """
        if self.at_most is not None:
            return f"<= {number(self.at_most)}"
        return "" if self.at_least is None else f">= {number(self.at_least)}"

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.at_most is not None:
            return self.measured <= self.at_most
        return None if self.at_least is None else self.measured >= self.at_least

    @property
    def span(self) -> str:
        """From the least to the most of the rounds, as text; empty where there was one."""
        return f"{number(min(self.rounds))} .. {number(max(self.rounds))}" if len(self.rounds) > 1 else ""

    def as_json(self) -> dict[str, Any]:
        """For `from_json`, and for who reads the file."""
        return asdict(self) | {"rounds": list(self.rounds), "measured": self.measured}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """The row that `as_json` was called of."""
        return cls(**{name: value for name, value in values.items() if name != "measured"})


@dataclass(frozen=True)
class Found:
    """What a section yields."""

    rows: Sequence[Row] = ()
    detail: Any = None
    """Anything else for the file; JSON."""
    tables: Sequence[Table | str] = ()
    """What to print besides the rows."""


@dataclass(frozen=True)
class Option:
    """A number, or the name of a file, that a section can be told on the command line."""

    name: str
    default: float | str
    help: str


@dataclass(frozen=True)
class Bench:
    """What a section is given."""

    url: str
    """An empty Redis that nobody else uses, without persistence."""
    rounds: int
    calls: int
    """Calls in a round, where they are single."""
    options: argparse.Namespace
    """The values of all sections' options."""


@dataclass(frozen=True)
class Section:
    """Something that can be measured by itself."""

    name: str
    run: Callable[[Bench], Found]
    options: Sequence[Option] = ()
    alone: bool = False
    """Whether it is measured only when it is named, as `--NAME`, or with `--all`."""

    @property
    def about(self) -> str:
        """What it tells, in a line."""
        return (self.run.__doc__ or "").partition("\n")[0]


SECTIONS: Final[dict[str, Section]] = {}
"""All that were registered, by name."""


def section(
    name: str, *options: Option, alone: bool = False
) -> Callable[[Callable[[Bench], Found]], Callable[[Bench], Found]]:
    """Register a function as a section; its docstring's first line says what it tells."""

    def register(run: Callable[[Bench], Found]) -> Callable[[Bench], Found]:
        if name in SECTIONS:
            raise ValueError(f"two sections are called {name}")
        SECTIONS[name] = Section(name, run, options, alone)
        return run

    return register


_FIRST: Final = ("calls", "async", "cache", "server", "expiry", "archive", "memory", "scale", "load", "peers")
"""The sections that have aims, as they are measured and told; the others come after, by name."""


def load() -> dict[str, Section]:
    """Have each `bench_*.py` in this folder register what it measures; return all sections, in their order."""
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        importlib.import_module(path.stem)
    return {name: SECTIONS[name] for name in (*_FIRST, *sorted(SECTIONS.keys() - set(_FIRST))) if name in SECTIONS}


def number(value: float) -> str:
    """A figure with as many digits as tell something.

    Example:
        >>> [number(each) for each in (0.7512, 4.0, 33.33, 1234567.0)]
        ['0.75', '4.00', '33.3', '1,234,567']
    """
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
