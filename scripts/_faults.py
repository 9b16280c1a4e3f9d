"""The fault suite: real servers and workers are killed, frozen, starved and filled, and what came of it is counted.

    scripts/faults            all of it, some ten minutes
    scripts/faults --quick    what takes less than about five seconds each
    scripts/faults --report   all of it, and the table in docs/reliability.md anew

Other arguments go to pytest; with such as choose some of the tests nothing is written. One test after the other:
recovery times are measured.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import _test

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- faults: begin (scripts/faults --report) -->\n"
END = "<!-- faults: end -->\n"
_EMPTY = f"# Reliability\n\n{BEGIN}{END}"


def with_table(page: str, table: str) -> str:
    """Return the page with the table between its two markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"{PAGE.name} has not the two markers {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Run the suite; return 0 if it passed."""
    sys.path.insert(0, str(ROOT))
    from tests.faults import report

    quick, write = "--quick" in arguments, "--report" in arguments
    chosen = [each for each in arguments if each not in ("--quick", "--report")]
    if write and (quick or _test.selects(chosen)):
        print("[faults] --report is for the whole suite", file=sys.stderr)
        return 2
    if not any(Path(each.partition("::")[0]).exists() for each in chosen if not each.startswith("-")):
        chosen = ["tests/faults", *chosen]

    def work() -> int:
        file = Path(os.environ["TMPDIR"]) / "rows"
        os.environ[report.FILE_VARIABLE] = str(file)
        status = int(pytest.main([*chosen, *(["-m", "not long"] if quick else [])]))
        table = report.as_table(report.merged(report.read_rows(file)))
        print(table, flush=True)
        if write and not status:
            page = PAGE.read_text("utf-8") if PAGE.exists() else _EMPTY
            PAGE.write_text(with_table(page, table), "utf-8")
            print(f"[faults] written to {PAGE.relative_to(ROOT)}", flush=True)
        return status

    return _test.guarded("faults", work)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
