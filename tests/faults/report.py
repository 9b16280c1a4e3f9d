"""What a fault did: a row for each, counted by its test, printed, and kept for ``docs/reliability.md``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

__all__ = ["FILE_VARIABLE", "Report", "Row", "as_table", "merged", "read_rows"]

FILE_VARIABLE = "SOJOURN_FAULT_ROWS"
"""Names the file that rows are added to; without it they are only printed."""


@dataclass(frozen=True)
class Row:
    """A fault, how often it was injected, and what came of it."""

    fault: str
    injected: int
    lost: int
    duplicated: int
    recovery_s: float | None
    within_s: float | None
    note: str


class Report:
    """Takes the rows of one test, and holds each against what is promised."""

    def row(
        self,
        fault: str,
        *,
        injected: int,
        lost: int,
        duplicated: int,
        recovery_s: float | None = None,
        within_s: float | None = None,
        note: str = "",
    ) -> None:
        """Keep what was counted; then nothing may be lost or doubled, and the recovery not be late.

        Args:
            fault: the fault in a few words, the same for each run of its test.
            injected: how often it was injected.
            lost: what was acknowledged, or due, and never happened.
            duplicated: what happened more than once.
            recovery_s: seconds until all was as without the fault; None where nothing had to recover.
            within_s: the most that it may take.
            note: what else was counted.

        Example: ``report.row("Redis restarted", injected=1, lost=0, duplicated=0, recovery_s=1.2, within_s=5)``
        """
        row = Row(fault, injected, lost, duplicated, recovery_s, within_s, note)
        print(f"[fault] {row}")
        if path := os.environ.get(FILE_VARIABLE):
            with Path(path).open("a", encoding="utf-8") as rows:
                rows.write(json.dumps(asdict(row)) + "\n")
        assert (lost, duplicated) == (0, 0), row
        if within_s is not None:
            assert recovery_s is not None, row
            assert recovery_s <= within_s, row


def read_rows(path: Path) -> list[Row]:
    """The rows in a file, in the order in which they came."""
    return [Row(**json.loads(line)) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def merged(rows: list[Row]) -> list[Row]:
    """One row for each fault: counts added up, the longest recovery, the last note."""
    found: dict[str, Row] = {}
    for row in rows:
        before = found.get(row.fault)
        if before is None:
            found[row.fault] = row
            continue
        times = [each for each in (before.recovery_s, row.recovery_s) if each is not None]
        found[row.fault] = replace(
            row,
            injected=before.injected + row.injected,
            lost=before.lost + row.lost,
            duplicated=before.duplicated + row.duplicated,
            recovery_s=max(times, default=None),
        )
    return list(found.values())


def as_table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| fault | injected | lost | duplicated | recovered after | allowed | note |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        after, allowed = (_seconds(each) for each in (row.recovery_s, row.within_s))
        cells = (row.fault, row.injected, row.lost, row.duplicated, after, allowed, row.note)
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 0.1:
        return "< 0.1 s"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
