"""Every command and every Python block of the README works as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.documents import ROOT, commands, fenced, on_path, run

README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture
def environment(any_redis_url: str, postgres_url: str, tmp_path: Path) -> dict[str, str]:
    """Give what a reader has after the exports of the README, with the commands on the PATH."""
    return os.environ | {
        "PATH": on_path(),
        "SOJOURN_REDIS_URL": any_redis_url,
        "SOJOURN_ARCHIVE_URL": postgres_url,
        "SOJOURN_CONFIG": "",
    }


@pytest.mark.timeout(300)  # some forty commands, each a process
def test_the_tour_works_from_top_to_bottom(environment: dict[str, str]) -> None:
    """The commands and the Python blocks run in the order in which a reader meets them."""
    environment = {name: value for name, value in environment.items() if name != "SOJOURN_CONFIG"}
    typed = [each for each in commands(README) if not each.startswith("scripts/")]
    assert "sojourn archive init" in typed
    run("sojourn archive init", environment)
    worker = subprocess.Popen(["sojourn", "worker"], cwd=ROOT, env=environment)
    try:
        python = "\n".join(fenced(README, "python"))
        printed = subprocess.run(
            [sys.executable, "-W", "error", "-c", python],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert printed.returncode == 0, printed.stderr
        assert "is at version 2 by now" in printed.stdout
        assert "['hello', 'anybody there?']" in printed.stdout
        assert "a greeting" in printed.stdout
        for command in typed:
            if not command.endswith("&") and command != "sojourn archive init":
                run(command, environment)
        assert "a greeting" in run("sojourn archive list --json", environment)
    finally:
        worker.terminate()
        assert worker.wait(30) == 0


def test_the_main_job_does_what_it_says(environment: dict[str, str]) -> None:
    """The README's first command finds in PostgreSQL what was done, on servers of its own."""
    own = {name: value for name, value in environment.items() if not name.startswith("SOJOURN_")}
    command = next(each for each in commands(README) if each.startswith("scripts/run"))
    printed = run(command, own | _venv())
    assert "DIFFERS" not in printed
    assert "sessions expired" in printed


def test_the_test_command_is_what_ci_calls(environment: dict[str, str]) -> None:
    """The README's second command starts, collects a part of the tests, and is the one in CI."""
    assert "scripts/test" in commands(README)
    assert "\nscripts/test\n" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "test_keys" in run("scripts/test --collect-only -q tests/store", environment | _venv())


def _venv() -> dict[str, str]:
    """Name the environment that these tests run in, so that the commands do not make another."""
    return {"SOJOURN_VENV": sys.prefix}


def test_the_settings_in_the_readme_are_valid(tmp_path: Path) -> None:
    """The YAML block is a settings file that loads."""
    config = tmp_path / "sojourn.yaml"
    config.write_text("".join(fenced(README, "yaml")))
    source = "from sojourn import load_settings; print(load_settings().hooks['farewell'].events)"
    printed = run(f'"{sys.executable}" -c "{source}"', os.environ | {"SOJOURN_CONFIG": str(config)})
    assert "expired" in printed
