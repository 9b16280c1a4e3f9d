"""Every command and every block of the README works as it stands."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from tests.acceptance.documents import ROOT, commands, run
from tests.acceptance.page import read

README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.timeout(300)  # some forty commands, each a process
def test_the_tour_works_from_top_to_bottom(environment: dict[str, str], tmp_path: Path) -> None:
    """The commands and the Python blocks run in the order in which a reader meets them."""
    printed = read(ROOT / "README.md", tmp_path, environment)
    assert "is at version 2 by now" in printed
    assert "['hello', 'anybody there?']" in printed
    assert "a greeting" in printed
    assert "a greeting" in run("sojourn archive list --json", environment)


def test_links_lead_somewhere() -> None:
    """What the README links to in the project is there; of the other pages the site's own build says so."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.timeout(300)
def test_the_main_job_does_what_it_says() -> None:
    """The README's first command finds in PostgreSQL what was done, on servers of its own."""
    command = next(each for each in commands(README) if each.startswith("scripts/run"))
    printed = run(command, _own())
    assert "DIFFERS" not in printed
    assert "sessions expired" in printed


@pytest.mark.timeout(300)  # it lints and checks types as well
def test_the_test_command_is_what_ci_calls() -> None:
    """The README's second command starts, collects a part of the tests, and is the one in CI."""
    assert "scripts/test" in commands(README)
    assert "\nscripts/test\n" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "test_header_is_complete" in run("scripts/test --collect-only -q tests/lua", _own())


def _own() -> dict[str, str]:
    """Name the environment that these tests run in, so that the commands do not make another, and no servers."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    return own | {"SOJOURN_VENV": sys.prefix}
