"""The figures of `scripts/bench` in a file, held against its aim, and against those of another time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bench_registry import Found, Row, number

__all__ = ["Change", "Results", "changes", "comparison", "summary"]


@dataclass(frozen=True)
class Measured:
    """One section's figures, and what they were measured on."""

    machine: dict[str, str]
    took_s: float
    rows: list[Row]
    detail: Any = None


class Results(dict[str, Measured]):
    """Figures by section, in the order in which they were measured."""

    def add(self, name: str, machine: dict[str, str], took_s: float, found: Found) -> None:
        """Take in what a section yielded."""
        self[name] = Measured(machine, round(took_s, 1), list(found.rows), found.detail)

    @classmethod
    def read(cls, path: Path) -> Results:
        """The figures in a file that `write` wrote.

        Raises:
            OSError: there is no such file.
            ValueError: it is not such a file.
        """
        try:
            sections = json.loads(path.read_text("utf-8"))["sections"]
            return cls(
                {
                    name: Measured(
                        each["machine"], each["took_s"], [Row.from_json(row) for row in each["rows"]], each["detail"]
                    )
                    for name, each in sections.items()
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path.name} does not hold figures of scripts/bench: {error!r}") from error

    def write(self, path: Path) -> None:
        """Write the figures; sections that the file has besides them stay, with what they were measured on."""
        kept = Results.read(path) if path.exists() else Results()
        sections = {
            name: {
                "machine": each.machine, "took_s": each.took_s,
                "rows": [row.as_json() for row in each.rows], "detail": each.detail,
            }
            for name, each in (kept | self).items()
        }  # fmt: skip
        path.write_text(json.dumps({"sections": sections}, indent=1, ensure_ascii=False) + "\n", "utf-8")


@dataclass(frozen=True)
class Change:
    """The same row at two times."""

    section: str
    old: Row
    new: Row

    @property
    def ratio(self) -> float:
        """How many times the old figure the new one is."""
        return self.new.measured / self.old.measured if self.old.measured else float("inf")

    @property
    def is_beyond_rounds(self) -> bool | None:
        """Whether each median is outside the other time's rounds; None where either was measured but once."""
        if len(self.old.rounds) < 2 or len(self.new.rounds) < 2:
            return None
        return not (
            min(self.old.rounds) <= self.new.measured <= max(self.old.rounds)
            or min(self.new.rounds) <= self.old.measured <= max(self.new.rounds)
        )


def changes(old: Results, new: Results) -> Iterator[Change]:
    """The rows that both have."""
    for name, measured in new.items():
        before = {(row.work, row.against): row for row in old[name].rows} if name in old else {}
        for row in measured.rows:
            if (row.work, row.against) in before:
                yield Change(name, before[row.work, row.against], row)


_SAID = {True: "yes", False: "no", None: ""}


def summary(results: Results) -> Table:
    """All rows, with their aims, and whether they were met."""
    table = Table("section", "work", "against", "aim", "measured", "rounds from .. to", "met")
    for name, measured in results.items():
        for row in measured.rows:
            style = "red" if row.met is False else ""
            table.add_row(
                name, row.work, row.against, row.aim, f"{number(row.measured)} {row.unit}", row.span,
                {True: "yes", False: "NO", None: ""}[row.met], style=style,
            )  # fmt: skip
    return table


def comparison(old: Results, new: Results) -> Table:
    """What changed from one time to the other."""
    table = Table("section", "work", "against", "old", "new", "new / old", "beyond the rounds")
    for each in changes(old, new):
        table.add_row(
            each.section, each.new.work, each.new.against, f"{number(each.old.measured)} {each.old.unit}",
            f"{number(each.new.measured)} {each.new.unit}", number(each.ratio), _SAID[each.is_beyond_rounds],
        )  # fmt: skip
    table.caption = "\n".join(_on_others(old, new))
    return table


def _on_others(old: Results, new: Results) -> Iterator[str]:
    """What differs in what both were measured on."""
    told = set()
    for name in new.keys() & old.keys():
        for fact, value in new[name].machine.items():
            before = old[name].machine.get(fact)
            if before != value and (fact, before, value) not in told:
                told.add((fact, before, value))
                yield f"old with {fact} {before}, new with {value}"
