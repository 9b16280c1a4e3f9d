"""All that the documents show runs: code, commands, settings and drawings, page by page, on one deployment."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.acceptance.documents import PAGES, ROOT, blocks
from tests.acceptance.page import read

_TOLD_BY_TESTS_OF_THEIR_OWN = {
    "README.md": "acceptance/test_readme.py",
    "docs/guides/testing.md": "store/testing/test_plugin.py",
    "docs/recovery.md": "acceptance/test_recovery.py",
    "docs/security.md": "acceptance/test_security.py",
}
_NAMES = {str(page.relative_to(ROOT)): page for page in PAGES}


@pytest.mark.timeout(300)  # some pages have a dozen commands, each a process, and workers beside them
@pytest.mark.parametrize(
    "name", [each for each, page in _NAMES.items() if any(blocks(page)) and each not in _TOLD_BY_TESTS_OF_THEIR_OWN]
)
def test_what_a_page_shows_is_so(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    """The blocks of a page do what it says, in its order."""
    read(_NAMES[name], tmp_path, environment)


def test_pages_with_tests_of_their_own_have_them() -> None:
    """What is left out above is done by a test that reads the same page."""
    for name, test in _TOLD_BY_TESTS_OF_THEIR_OWN.items():
        assert _NAMES[name].name in (ROOT / "tests" / test).read_text("utf-8")
