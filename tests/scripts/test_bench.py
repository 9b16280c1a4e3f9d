"""`scripts/bench`: what sections yield, how figures are kept, judged, and held against those of another time."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import _bench
from _bench_results import Results, changes, comparison, summary
from bench_registry import SECTIONS, Found, Row, load, number, section

MACHINE = {"Redis": "7.0.15", "cores": "2"}


def results(**sections: list[Row]) -> Results:
    """Figures as a run would have them."""
    made = Results()
    for name, rows in sections.items():
        made.add(name, MACHINE, 1.26, Found(rows, {"more": [1, 2]}))
    return made


@pytest.mark.parametrize(
    ("row", "aim", "met"),
    [
        (Row("a", "b", [0.7, 0.75, 0.9], at_most=0.75), "<= 0.75", True),
        (Row("a", "b", [0.7, 0.76, 0.9], at_most=0.75), "<= 0.75", False),
        (Row("a", "b", [4.4, 4.5, 4.6], at_least=4.5), ">= 4.50", True),
        (Row("a", "b", [4.4, 4.4, 4.6], at_least=4.5), ">= 4.50", False),
        (Row("a", "b", [1.0]), "", None),
    ],
)
def test_the_median_is_held_against_its_aim(row: Row, aim: str, met: bool | None) -> None:
    """At most, at least, or nothing."""
    assert (row.aim, row.met) == (aim, met)


def test_a_row_has_a_round() -> None:
    """Nothing is not a figure."""
    with pytest.raises(ValueError, match="no round"):
        Row("a", "b", [])


def test_figures_are_shown_with_the_digits_that_tell() -> None:
    """Two after the point for ratios, none for thousands."""
    assert [number(each) for each in (0.754, 25.0, 1_234_567.8)] == ["0.75", "25.0", "1,234,568"]


def test_a_file_keeps_what_was_measured(tmp_path: Path) -> None:
    """What is read is what was written, and other sections that it has stay."""
    path = tmp_path / "figures.json"
    first = results(calls=[Row("get", "bare", [0.7, 0.8], at_most=0.75, details={"ours, us": 40.0})])
    first.write(path)
    assert Results.read(path) == first
    other = results(expiry=[Row("lag", "-", [12.0], "ms")])
    other.write(path)
    assert Results.read(path) == first | other
    again = results(calls=[Row("get", "bare", [0.6])])
    again.write(path)
    assert Results.read(path) == again | other
    assert json.loads(path.read_text())["sections"]["calls"]["rows"][0]["measured"] == 0.6


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sections": {"calls": {}}}', '{"sections": 3}'])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    """With a word on which file it is."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.json|Expecting value"):
        Results.read(path)


def test_what_changed_is_told_beyond_the_rounds_of_both() -> None:
    """A change counts where each median is outside the other's rounds; of single rounds nothing is known."""
    old = results(calls=[Row("a", "x", [1.0, 1.1, 1.2]), Row("b", "x", [1.0, 1.1, 1.2]), Row("c", "x", [1.0]),
                         Row("gone", "x", [1.0])])  # fmt: skip
    new = results(calls=[Row("a", "x", [0.5, 0.55, 0.6]), Row("b", "x", [0.9, 1.0, 1.3]), Row("c", "x", [0.5]),
                         Row("new", "x", [1.0])])  # fmt: skip
    found = {each.new.work: each for each in changes(old, new)}
    assert {work: each.is_beyond_rounds for work, each in found.items()} == {"a": True, "b": False, "c": None}
    assert found["a"].ratio == pytest.approx(0.5)


def test_a_comparison_tells_of_another_machine() -> None:
    """What differs between the two stands below the table."""
    old = results(calls=[Row("a", "x", [1.0])])
    new = Results()
    new.add("calls", MACHINE | {"cores": "8"}, 1.0, Found([Row("a", "x", [1.0])]))
    assert comparison(old, new).caption == "old with cores 2, new with 8"
    assert comparison(old, old).caption == ""


def test_the_summary_has_every_row() -> None:
    """Of every section."""
    table = summary(results(calls=[Row("a", "x", [1.0]), Row("b", "x", [1.0])], expiry=[Row("c", "-", [1.0])]))
    assert table.row_count == 3


def test_no_name_is_taken_twice() -> None:
    """One section would hide the other."""
    load()
    with pytest.raises(ValueError, match="two sections"):
        section("calls")(lambda bench: Found())


def test_every_section_tells_what_it_is() -> None:
    """For the help."""
    assert not [name for name, each in load().items() if not each.about]
    assert {"calls", "async", "tenancy", "telemetry", "memory", "expiry", "cleanup", "archive", "server"} <= set(
        SECTIONS
    )


def test_sections_are_chosen() -> None:
    """By name, as options, all, or those that stand by themselves in no way."""
    sections = load()
    usual = [name for name, each in sections.items() if not each.alone]
    assert _bench.parse([], sections).chosen == usual
    assert _bench.parse(["expiry", "calls"], sections).chosen == [n for n in sections if n in ("calls", "expiry")]
    assert _bench.parse(["--server"], sections).chosen == ["server"]
    assert set(_bench.parse(["calls", "--server", "async"], sections).chosen) == {"calls", "server", "async"}
    assert _bench.parse(["--all"], sections).chosen == list(sections)
    assert _bench.parse(["expiry", "--live", "10"], sections).live == 10
    with pytest.raises(SystemExit):
        _bench.parse(["nonsense"], sections)


def test_calls_are_measured_written_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line to the file, which names no machine; the aims of calls are all there."""
    path = tmp_path / "figures.json"
    quick = ["--rounds", "2", "--calls", "10"]
    assert _bench.main(["calls", "async", *quick, "--json", str(path)]) == 0
    found = Results.read(path)
    aims = {row.work: row.aim for measured in found.values() for row in measured.rows if row.aim}
    assert aims == {
        "get": "<= 0.75", "create": "<= 0.80", "update": "<= 0.75", "touch": "<= 0.75",
        "get_many, 100": "<= 1.20", "create_many, 100": "<= 1.20", "update_many, 100": "<= 1.20",
        "async get, 1 task": "<= 1.00", "async get, 50 tasks": ">= 4.50", "async create, 50 tasks": ">= 5.00",
        "async update, 50 tasks": ">= 5.00", "async get_many, 100": "<= 1.20",
    }  # fmt: skip
    assert all(len(row.rounds) == 2 for measured in found.values() for row in measured.rows)
    assert set(found["calls"].machine) == {"Redis", "Python", "redis-py", "hiredis", "pydantic", "system", "cores"}
    assert "127.0.0.1" not in path.read_text()
    capsys.readouterr()
    slower = Results(found)
    slower["calls"] = dataclasses.replace(
        found["calls"],
        rows=[dataclasses.replace(each, rounds=[9 * one for one in each.rounds]) for each in found["calls"].rows],
    )
    slower.write(tmp_path / "slower.json")
    assert _bench.main(["--figures", str(path), "--compare", str(tmp_path / "slower.json")]) == 0
    assert "0.11" in capsys.readouterr().out
