"""What a reader of the documents has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.acceptance.documents import on_path


@pytest.fixture
def environment(
    any_redis_url: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Give a reader's environment: two servers, a folder to stand in, the commands on the PATH."""
    for name in [each for each in os.environ if each.startswith("SOJOURN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", on_path())
    monkeypatch.setenv("SOJOURN_REDIS_URL", any_redis_url)
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.chdir(tmp_path)
    return dict(os.environ)
