"""docs/performance.md says what was measured, and the pictures show it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

import _bench
import _bench_document
from _bench_document import DOCS, FIGURES, PAGES, filled
from _bench_pictures import PICTURES, digest, draw_all
from _bench_results import Results
from bench_registry import TIMES_ITS_RATE, Found, Row

IMAGES = DOCS / "images"


@pytest.mark.parametrize("path", PAGES, ids=[each.name for each in PAGES])
def test_the_pages_are_as_measured(path: Path) -> None:
    """Their tables are those that the figures make."""
    page = path.read_text("utf-8")
    assert filled(page, Results.read(FIGURES)) == page, "scripts/bench --document writes it"


@pytest.mark.parametrize("name", list(PICTURES))
def test_the_pictures_are_as_measured(name: str) -> None:
    """Each shows the figures of the file, and names nothing of where it was drawn."""
    figures = PICTURES[name][0](Results.read(FIGURES))
    if figures:
        drawn = (IMAGES / f"{name}.svg").read_text("utf-8")
        assert digest(figures) in drawn, "scripts/bench --document draws it"
        assert not [each for each in (str(Path.home()), tempfile.gettempdir(), "127.0.0.1") if each in drawn]


def test_the_figures_name_no_machine() -> None:
    """Versions and sizes, but no address and no folder."""
    text = FIGURES.read_text("utf-8")
    assert not re.findall(r"127\.0\.0\.1|localhost|redis://|postgresql://|/(?:tmp|home|root)/", text)


def some() -> Results:
    """Figures of everything that the page has a table of its own for."""
    made = Results()

    def add(name: str, *rows: Row, detail: object = None) -> None:
        made.add(name, {"Redis": "7.0.15", "cores": "2"}, 12.3, Found(rows, detail))

    add("calls", Row("get", "HGETALL", [0.5, 0.6, 0.7], at_most=0.75, details={"ours, us": 40.0, "bare, us": 66.0}),
        Row("create", "EVALSHA", [0.9, 0.95], at_most=0.8))  # fmt: skip
    add("async", Row("async get, 50 tasks", "HGETALL", [4.0, 5.0], TIMES_ITS_RATE, at_least=4.5))
    rates = [{"do": "get", "clients": 1, "per_s": [900.0, 1000.0, 1100.0]},
             {"do": "update", "clients": 50, "per_s": [10.0]}]  # fmt: skip
    peers = [
        {"name": name, "kind": "tasks", "less": less, "versions": {"redis": "8.1"}, "rates": rates}
        for name, less in (("Sojourn, tasks", ""), ("Other", "No index."))
    ]
    add("peers", Row("get, 1 task", "Other", [0.5], TIMES_ITS_RATE, at_least=1.0),
        Row("update, 50 tasks", "Other", [3.0], TIMES_ITS_RATE, at_least=1.0),
        detail={"peers": peers, "left_out": {"Absent": "no wheel"}})  # fmt: skip
    add("scale", Row("get, among 10,000", "the same among 1,000", [1.1], at_most=1.5),
        detail={"get": {"1000": 1.0, "10000": 1.1}})  # fmt: skip
    latencies = {"p50_us": 500, "p90_us": 900, "p99_us": 2_000, "p99.9_us": 9_000}
    add("load", Row("p99 under load, get", "factor 10", [2.0], "ms", at_most=100),
        detail={"operations": {"get": latencies, "create": latencies}})  # fmt: skip
    add("server", detail=[{"name": "create_session", "calls": 9, "typical_us": 30.0, "floor_us": 20.0,
                           "typical_cpu_us": 36.0, "floor_cpu_us": 18.0,
                           "largest_us": 900, "case": "many tags"}])  # fmt: skip
    costs = {"get": 20.0, "create": 50.0, "update": 40.0, "complete": 40.0}
    add("capacity", *(Row(f"Redis's own time of a {name}, 50 tasks", "one core", [us], "us")
                      for name, us in costs.items()))  # fmt: skip
    return made


def test_what_is_written_are_tables() -> None:
    """Medians, the aims, who was slower; what was not measured says so."""
    parts = [
        "machine",
        "aims",
        "session stores",
        "our rate",
        "scripts",
        "carried",
        "in short",
        "calls",
        "expiry",
    ]
    page = "".join(f"<!-- measured: {name} -->\nold\n<!-- end -->\n" for name in parts)
    text = filled(page, some())
    assert "old" not in text
    assert "2 cores; Redis 7.0.15.\n" in text
    assert "| get | HGETALL | ≤ 0.75 | 0.60 of its time | 0.50 .. 0.70 | yes |" in text
    assert "| create | EVALSHA | ≤ 0.80 | 0.93 of its time | 0.90 .. 0.95 | **no** |" in text
    assert "| Sojourn, tasks | tasks | 1,000 | 10 |" in text
    assert "- **Other** (redis 8.1): No index.\n- Left out: **Absent**: no wheel\n" in text
    assert "| Other | **0.50** | 3.00 |" in text
    assert "| async get, 50 tasks | HGETALL | 4.50 times its rate |" in text
    assert "| `create_session` | 30.0 | 20.0 | 36.0 | 18.0 | 2.00 | 0.90 | many tags |" in text
    assert "| get | 20.0 | 50,000 | 35,000 |" in text
    assert "| 200 creates, 2,000 updates and 200 ends a second | 10 % |" in text
    assert "| get | HGETALL | 40.0 | 66.0 | 0.60 of its time | 0.50 .. 0.70 |" in text
    assert text.endswith("Not measured yet.\n\n<!-- end -->\n")
    assert filled(text, some()) == text


def test_a_page_cannot_ask_for_what_nobody_measures() -> None:
    """A name that is wrong is told."""
    with pytest.raises(ValueError, match="nonsense"):
        filled("<!-- measured: nonsense -->\n<!-- end -->", Results())


def test_pictures_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    """From the same figures the same file; text stays text, and nothing is loaded from elsewhere."""
    draw_all(some(), tmp_path / "a")
    draw_all(some(), tmp_path / "b")
    for name in PICTURES:
        drawn = (tmp_path / "a" / f"{name}.svg").read_text("utf-8")
        assert drawn == (tmp_path / "b" / f"{name}.svg").read_text("utf-8")
        assert "<text" in drawn
        assert "Matplotlib" not in drawn
        assert not re.search(r"<image|@import|url\(http", drawn)


def test_the_page_is_written_without_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`scripts/bench --document` alone takes the figures that there are."""
    some().write(tmp_path / "performance.json")
    page = tmp_path / "performance.md"
    page.write_text("<!-- measured: calls -->\n<!-- end -->\n")
    for name, value in {"DOCS": tmp_path, "PAGES": [page], "FIGURES": tmp_path / "performance.json"}.items():
        monkeypatch.setattr(_bench_document, name, value)
    assert _bench.main(["--document"]) == 0
    assert "0.60 of its time" in page.read_text("utf-8")
    assert {each.name for each in (tmp_path / "images").iterdir()} == {f"{name}.svg" for name in PICTURES}
    assert "0.60 of its time" in capsys.readouterr().out
