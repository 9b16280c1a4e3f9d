"""Fixtures for the command line: it runs in this process, or as one of its own, against a clean Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis
from click.testing import CliRunner

from sojourn import SessionStore
from sojourn.archive import init
from sojourn.cli import cli

MODELS = """
from typing import Annotated, ClassVar

from sojourn import Counter, Indexed, Log, Session, Status


class JobSession(Session):
    queue: Annotated[str, Indexed()] = "default"
    priority: Annotated[int | None, Indexed()] = None
    attempts: Annotated[int, Counter()] = 0
    lines: ClassVar[Log[str]] = Log(str)
    transitions: ClassVar = {Status.IN_PROGRESS: frozenset({Status.COMPLETED})}
"""


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """Its output, read as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Run(Protocol):
    """What the fixture `run` is."""

    def __call__(self, *args: str, stdin: str | None = None, code: int = 0) -> Ran:
        """Run ``sojourn`` with these arguments, and check its exit code."""


class Start(Protocol):
    """What the fixture `start` is."""

    def __call__(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``sojourn`` as a process."""


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, any_redis_url: str) -> None:
    """Leave nothing of the caller's settings: an empty folder, and only the test's Redis."""
    for name in os.environ:
        if name.startswith("SOJOURN_"):
            monkeypatch.delenv(name)
    # Unbuffered, Python takes what a closing pipe accepted of a large write for all of it, and tells no error.
    for name in ("NO_COLOR", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOJOURN_REDIS_URL", any_redis_url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put a model of the user's own into the settings."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "cli_test_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("SOJOURN_MODELS", '["cli_test_models:JobSession"]')


@pytest.fixture
def run() -> Run:
    """Give a function that runs a command in this process."""

    def invoke(*args: str, stdin: str | None = None, code: int = 0) -> Ran:
        result = CliRunner().invoke(cli, args, input=stdin, prog_name="sojourn")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, (result.stdout, result.stderr)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def start() -> Start:
    """Give a function that starts a command as a process of its own."""

    def popen(*args: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "sojourn.cli", *args]
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, text=True, **given)

    return popen


@pytest.fixture
def store(any_redis_url: str) -> Any:
    """Give a store on the test's Redis."""
    with SessionStore(any_redis_url) as opened:
        yield opened


@pytest.fixture
def client(any_redis_url: str) -> Any:
    """Give a plain client of the test's Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as opened:
        yield opened


@pytest.fixture
def archive_url(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have an archive."""
    init(postgres_url)
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    return postgres_url
