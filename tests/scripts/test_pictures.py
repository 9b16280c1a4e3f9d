"""The pictures in the docs show real output, and nothing of the machine on which they were drawn."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from _pictures import IMAGES, anywhere, cut, draw


def test_nothing_of_the_machine_is_in_a_text() -> None:
    """Equal ids stay equal, others differ; ports and folders go."""
    one, other = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77", "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"
    text = f"{one} {other} {one} redis://127.0.0.1:4711/0 /home/x/y {'ab' * 32}"
    first, second, third, url, folder, digest = anywhere(text, Path("/home/x")).split()
    assert first == third != second
    assert {first, second}.isdisjoint({one, other})
    assert (url, folder) == ("redis://localhost/0", "~/y")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest != "ab" * 32
    assert anywhere(text, Path("/home/x")) == anywhere(text, Path("/home/x"))


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    """With its colours, and without anything that is loaded from elsewhere."""
    draw("top", "\x1b[31mred\x1b[0m plain", tmp_path / "x.svg")
    drawn = (tmp_path / "x.svg").read_text()
    assert "red" in drawn
    assert "fill: #" in drawn
    assert "@font-face" not in drawn
    assert "url(http" not in drawn
    assert len(cut([str(number) for number in range(500)])) < 100


@pytest.mark.parametrize("name", ["top", "inspect", "doctor"])
def test_the_docs_have_it(name: str) -> None:
    """Each was drawn, and names no machine."""
    drawn = (IMAGES / f"{name}.svg").read_text()
    assert f"sojourn&#160;{name}" in drawn
    ours = ("127.0.0.1", "cli:", str(Path(__file__).parents[2]), str(Path.home()), tempfile.gettempdir())
    assert not [each for each in ours if each in drawn]
