"""The guide's own tests pass, as one file beside the `conftest.py` that it shows."""

from __future__ import annotations

import pytest
from tests.acceptance.documents import ROOT, fenced


def test_the_guide(pytester: pytest.Pytester) -> None:
    """All of its Python runs."""
    found = fenced((ROOT / "docs" / "guides" / "testing.md").read_text("utf-8"), "python")
    (conftest,) = [each for each in found if "@pytest.fixture" in each]
    pytester.makeconftest(conftest)
    pytester.makepyfile("\n\n".join(each for each in found if each != conftest))
    pytester.runpytest("-W", "error").assert_outcomes(passed=3)
