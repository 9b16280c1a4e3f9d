"""Worker processes for tests: started with exact settings, watched, and never left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.worker.processes import Processes


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Give a starter of worker processes, which all end with the test."""
    with Processes() as started:
        yield started
