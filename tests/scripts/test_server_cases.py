"""What each script costs Redis is measured: none is without a case, and no case is of a script that is not there."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

_SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def of(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many cases are of each script."""
    monkeypatch.syspath_prepend(str(_SCRIPTS))
    import bench_server

    found = Counter(name for case in bench_server.cases() for name in case.of)
    for name in [each for each in sys.modules if each.startswith("bench_")]:
        monkeypatch.delitem(sys.modules, name)
    return found


def test_every_script_has_a_largest_case(of: Counter[str]) -> None:
    """Whoever adds a script says what the most is that it does at once."""
    there = {path.stem for path in (_SCRIPTS.parent / "lua").glob("*.lua")}
    assert there - of.keys() == set()
    assert of.keys() - there == set()
