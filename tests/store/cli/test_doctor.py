"""``doctor`` and ``metrics``."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
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


def test_a_key_of_another_type(run: Run, client: Any) -> None:
    """It is named; doctor and metrics tell the rest all the same."""
    run("create")
    key = "sojourn:{22}:counts"
    client.set(key, "x")
    shown = run("doctor", code=7).out
    assert f"error    keys:  the key {key} is not of the type that it should be" in shown
    assert "ok       dirty:  1 sessions wait" in shown
    assert run("metrics", "--json").json["odd_keys"] == [key]
    assert "sojourn_dirty_sessions 1.0" in run("metrics").out


def test_names_and_numbers_of_other_hands(run: Run, client: Any) -> None:
    """Bytes that are no text, numbers beyond all bounds: metrics are still metrics, and JSON is JSON."""
    run("create")
    client.hset("sojourn:{22}:counts", mapping={"damaged": "9" * 400, b"\xff": 1})
    client.xgroup_create("sojourn:{22}:events", b"g\xff\n", id="0")
    client.zadd("sojourn:{22}:dirty", {"x": "-inf"})
    samples = [each for family in text_string_to_metric_families(run("metrics").out) for each in family.samples]
    assert [each.labels["group"] for each in samples if each.name == "sojourn_group_lag_seconds"] == ["g\\xff\\n"]
    assert run("metrics", "--json").json["counts"] == {"\\xff": 1}
    run("doctor")


@pytest.mark.parametrize("command", ["doctor", "metrics"])
@pytest.mark.parametrize("name", ["queue_url", "redis_url"])
def test_a_malformed_url_tells_no_password(run: Run, monkeypatch: pytest.MonkeyPatch, command: str, name: str) -> None:
    """One line that names the setting, and holds nothing of its value."""
    monkeypatch.setenv(f"SOJOURN_{name.upper()}", "redis://:sek/ret@127.0.0.1:6379/0")
    failed = run(command, code=2)
    assert failed.err.startswith(f"sojourn: {name} is not a URL for Redis")
    assert failed.err.count("\n") == 1
    assert not any(each in failed.err + failed.out for each in ("sek", "ret@", "6379"))
