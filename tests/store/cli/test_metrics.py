"""``metrics`` and ``health``."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.store.cli.conftest import Run


def test_metrics(run: Run) -> None:
    """As Prometheus scrapes them, and as JSON."""
    run("create")
    shown = run("metrics").out
    assert "sojourn_dirty_sessions 1.0" in shown.splitlines()
    assert 'sojourn_health_state{state="healthy"} 1.0' in shown
    assert list(text_string_to_metric_families(shown))
    found = run("metrics", "--json").json
    assert found["dirty"] == 1
    assert found["tenants"]["default"]["active_sessions"] == 1
    assert found["tenants"]["default"]["labels"][0]["created"] == 1


def test_healthy(run: Run) -> None:
    """One word, no reasons, exit code 0."""
    run("create")
    assert run("health").out.split() == ["healthy"]
    assert run("health", "--json").json == {"state": "healthy", "reasons": []}


def test_degraded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 6, each reason with what to do."""
    run("create")
    run("create")
    monkeypatch.setenv("SOJOURN_HEALTH_SESSIONS", "1")
    shown = run("health", code=6).out
    assert shown.startswith("degraded")
    assert "tenant 'default' has 2 live sessions, more than 1" in shown
    assert "to mend it: " in shown
    (reason,) = run("health", "--json", code=6).json["reasons"]
    assert (reason["what"], reason["value"], reason["threshold"]) == ("sessions", 2, 1)


def test_unhealthy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis does not answer: exit code 7, and still JSON where that is wanted."""
    monkeypatch.setenv("SOJOURN_RETRIES", "0")
    away: Any = ("--redis-url", "redis://127.0.0.1:1/0")
    assert run("health", *away, code=7).out.startswith("unhealthy")
    assert run("health", *away, "--json", code=7).json["reasons"][0]["what"] == "redis"


@pytest.mark.parametrize("address", ["here", "1.2.3.4:", ":x", ":65536", "[::1]:-1"])
def test_where_to_serve(run: Run, address: str) -> None:
    """What is no address is refused before anything starts."""
    assert "is not of the form HOST:PORT" in run("worker", "--http", address, code=2).err
