"""Fixtures of the fault suite: its report, worker processes, an archive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults.report import Report
from tests.worker.processes import Processes

from sojourn.archive import init


@pytest.fixture
def report() -> Report:
    """Give what takes the rows of the report."""
    return Report()


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Give a starter of worker processes, which all end with the test."""
    with Processes() as started:
        yield started


@pytest.fixture
def archive_url(postgres_url: str) -> str:
    """Give an empty archive."""
    init(postgres_url)
    return postgres_url
