"""What a reader of the documents has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.documents import on_path
from tests.servers import Databases

from sojourn.archive import init


@pytest.fixture(scope="session")
def archive_template(databases: Databases) -> str:
    """Give the name of a database with the archive's tables, of which each page's is a copy."""
    name = databases.create()
    init(databases.url(name))
    return name


@pytest.fixture
def environment(
    any_redis_url: str, databases: Databases, archive_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Give a reader's environment: two servers, a folder to stand in, the commands on the PATH."""
    archive = databases.create(archive_template)
    for name in [each for each in os.environ if each.startswith("SOJOURN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", on_path())
    monkeypatch.setenv("SOJOURN_REDIS_URL", any_redis_url)
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", databases.url(archive))
    monkeypatch.setenv("SOJOURN_ARCHIVE_INTERVAL", "0.3")  # readers may wait for the next run, tests need not
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.chdir(tmp_path)
    yield dict(os.environ)
    databases.drop(archive)
