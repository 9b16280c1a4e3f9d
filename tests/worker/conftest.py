"""Worker processes for tests: started with exact settings, watched, and never left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.worker.processes import Processes

from sojourn_worker import config


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Give a starter of worker processes, which all end with the test."""
    with Processes() as started:
        yield started


@pytest.fixture(autouse=True)
def settings_stay_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what a test makes the settings of this process; they are in its environment, too."""
    before = dict(os.environ)
    monkeypatch.setattr(config, "_used", None)
    yield
    os.environ.clear()
    os.environ.update(before)
