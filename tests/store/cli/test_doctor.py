"""``doctor`` and ``metrics``."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.cli.conftest import Run


def test_all_is_well(run: Run) -> None:
    """An ordinary deployment: exit code 0, a line for each check."""
    run("create")
    lines = run("doctor").out.splitlines()
    assert all(line.startswith("ok") for line in lines)
    assert [each["severity"] for each in run("doctor", "--json").json["findings"]] == ["ok"] * len(lines)


def test_severity_is_the_exit_code(run: Run, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings: 6; something wrong: 7; each with why it matters and what mends it."""
    run("create")
    client.hincrby("sojourn:counts", "refused_jobs", 1)
    shown = run("doctor", code=6).out
    assert "warning  jobs:  1 refused jobs" in shown
    assert "to mend it:" in shown
    monkeypatch.setenv("SOJOURN_EVENTS_ALARM", "100")
    run("events", "--group", "slow", "--from", "oldest")
    for _ in range(101):
        client.xadd("sojourn:{22}:events", {"type": "x"})
    assert "error    outbox:" in run("doctor", code=7).out


def test_metrics(run: Run) -> None:
    """As Prometheus scrapes them, and as JSON."""
    run("create")
    assert "sojourn_dirty_sessions 1.0" in run("metrics").out.splitlines()
    assert run("metrics", "--json").json["dirty"] == 1
