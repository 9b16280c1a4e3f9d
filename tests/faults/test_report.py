"""The report itself: rows, their table, the page that holds it, and which tests run when."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.report import FILE_VARIABLE, Report, as_table, merged, read_rows

import _faults
import _test


def test_rows_become_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows of one fault are added up, with the longest recovery; the table shows each fault once, in order."""
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "rows"))
    report = Report()
    report.row("a", injected=1, lost=0, duplicated=0, recovery_s=2.0, within_s=5)
    report.row("b|c", injected=3, lost=0, duplicated=0, note="quick")
    report.row("a", injected=2, lost=0, duplicated=0, recovery_s=1.0, within_s=5)
    rows = merged(read_rows(tmp_path / "rows"))
    assert [(each.fault, each.injected, each.recovery_s) for each in rows] == [("a", 3, 2.0), ("b|c", 3, None)]
    assert as_table(rows).splitlines()[2:] == [
        "| a | 3 | 0 | 0 | 2.0 s | 5.0 s |  |",
        "| b\\|c | 3 | 0 | 0 |  |  | quick |",
    ]


@pytest.mark.parametrize(("lost", "duplicated", "recovery_s"), [(1, 0, 1.0), (0, 1, 1.0), (0, 0, 5.1), (0, 0, None)])
def test_a_row_that_falls_short_fails_and_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: int, duplicated: int, recovery_s: float | None
) -> None:
    """Loss, doubles and late recoveries fail the test, and are in the report nevertheless."""
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "rows"))
    with pytest.raises(AssertionError):
        Report().row("a", injected=1, lost=lost, duplicated=duplicated, recovery_s=recovery_s, within_s=5)
    assert len(read_rows(tmp_path / "rows")) == 1


def test_the_page_changes_between_its_markers_only() -> None:
    """What others wrote around the table stays; a page without markers is refused."""
    page = f"before\n{_faults.BEGIN}old\n{_faults.END}after\n"
    assert _faults.with_table(page, "new\n") == f"before\n{_faults.BEGIN}\nnew\n\n{_faults.END}after\n"
    with pytest.raises(ValueError, match="two markers"):
        _faults.with_table("before\n", "new\n")


def test_long_tests_run_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A run of everything leaves them out, a subset is what it names; no report is written of a part."""
    assert _test.pytest_arguments(["-x"], 1)[-3:] == ["-m", "not long", "-x"]
    assert "not long" not in _test.pytest_arguments(["-k", "kills"], 1)
    assert "not long" not in _test.pytest_arguments(["-m", "long"], 1)
    assert _faults.main(["--report", "--quick"]) == 2
    assert "whole suite" in capsys.readouterr().err
