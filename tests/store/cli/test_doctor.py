"""``doctor`` and ``metrics``."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.sound import PLAIN, make_sound
from tests.store.cli.conftest import Run

from sojourn.doctor import CHECKS

DEADLINES = "sojourn:{22}:deadlines"


def _severities(run: Run, *options: str, code: int) -> dict[str, str]:
    found = run("doctor", *options, "--json", code=code).json["findings"]
    return {each["check"]: each["severity"] for each in found}


def test_all_is_well(run: Run, client: Any) -> None:
    """An ordinary deployment: exit code 0, a line for each check."""
    make_sound(client)
    run("create")
    lines = run("doctor").out.splitlines()
    assert all(line.startswith("ok") for line in lines if " version: " not in line and not line.startswith(" "))
    assert {name for name, severity in _severities(run, code=0).items() if severity != "ok"} == {"version"}


def test_severity_is_the_exit_code(run: Run, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings: 6; something wrong: 7; each with why it matters and what mends it."""
    run("create")
    client.hincrby("sojourn:counts", "refused_jobs", 1)
    shown = run("doctor", code=6).out
    assert "warning  jobs:  1 refused jobs" in shown
    assert "to mend it:" in shown
    assert "$ redis-cli -u $SOJOURN_REDIS_URL ACL LIST" in shown
    monkeypatch.setenv("SOJOURN_EVENTS_ALARM", "100")
    run("events", "--group", "slow", "--from", "oldest")
    for _ in range(101):
        client.xadd("sojourn:{22}:events", {"type": "x"})
    assert "error    outbox:" in run("doctor", code=7).out


def test_some_checks(run: Run) -> None:
    """Those that are named, after the connection; one that is not there is a mistake."""
    run("create")
    assert _severities(run, "--check", "indexes", "--check", "layout", code=0) == {"layout": "ok", "indexes": "ok"}
    assert "there is no check 'index'" in run("doctor", "--check", "index", code=2).err


def test_fix(run: Run, client: Any) -> None:
    """Told first, then done, then looked at again; the audit is told; a second time there is nothing to do."""
    session_id = run("create").out.strip()
    client.zrem(DEADLINES, f"default/{session_id}")
    options = ("doctor", "--full", "--check", "deadlines", "--fix")
    planned = run(*options, "--dry-run", code=7)
    assert "deadlines: --fix goes through all sessions" in planned.err
    assert client.zscore(DEADLINES, f"default/{session_id}") is None
    assert "add --yes" in run(*options, code=2).err
    assert client.zscore(DEADLINES, f"default/{session_id}") is None
    assert "mended   deadlines:  put right: 1 deadline" in run(*options, "--yes").out
    assert client.zscore(DEADLINES, f"default/{session_id}") is not None
    again = run(*options, "--yes")
    assert "nothing that --fix could mend" in again.err
    told = [fields for _, fields in client.xrange("sojourn:{22}:events") if fields["type"] == "administered"]
    assert [json.loads(each["changes"])["action"] for each in told] == ["doctor.fix"]
    assert json.loads(told[0]["changes"])["checks"] == {"deadlines": "put right: 1 deadline"}


def test_what_is_left_is_the_exit_code(run: Run, client: Any) -> None:
    """--fix mends what it may; the rest still counts."""
    run("create")
    client.config_set("maxmemory-policy", "allkeys-lru")
    fixed = run("doctor", "--check", "memory", "--check", "notifications", "--fix", "--yes", "--json", code=6).json
    assert [each["check"] for each in fixed["fixes"]] == ["notifications"]
    assert fixed["fixes"][0]["left"] == []
    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"


def test_options_that_go_together(run: Run) -> None:
    """--yes and --dry-run mean nothing without --fix."""
    assert "go with --fix" in run("doctor", "--yes", code=2).err
    assert "go with --fix" in run("doctor", "--dry-run", code=2).err


def test_for_programs(run: Run) -> None:
    """The same fields in JSON and in CSV, one row for each finding."""
    run("create")
    found = run("doctor", "--json", code=6).json
    assert set(found) == {"findings"}
    assert all(
        set(each) == {"check", "severity", "found", "why", "mend", "commands", "fixable"} for each in found["findings"]
    )
    rows = list(csv.DictReader(io.StringIO(run("doctor", "--output", "csv", code=6).out)))
    assert [each["check"] for each in rows] == [each["check"] for each in found["findings"]]
    checked = {each.name for each in CHECKS if each.needs != "archive"}
    assert {each["check"] for each in rows} == checked | {"redis"}
    assert {each["check"] for each in rows if each["severity"] != "ok"} <= PLAIN
    fixed = run("doctor", "--fix", "--dry-run", "--json", code=6).json
    assert {each["check"] for each in fixed["fixes"]} == {"notifications"}


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
    troubles = {name for name, severity in _severities(run, code=6).items() if severity != "ok"}
    assert troubles - PLAIN == {"strays"}, "the entry 'x' is no session's"


@pytest.mark.parametrize("command", ["doctor", "metrics"])
@pytest.mark.parametrize("name", ["queue_url", "redis_url"])
def test_a_malformed_url_tells_no_password(run: Run, monkeypatch: pytest.MonkeyPatch, command: str, name: str) -> None:
    """One line that names the setting, and holds nothing of its value."""
    monkeypatch.setenv(f"SOJOURN_{name.upper()}", "redis://:sek/ret@127.0.0.1:6379/0")
    failed = run(command, code=2)
    assert failed.err.startswith(f"sojourn: {name} is not a URL for Redis")
    assert failed.err.count("\n") == 1
    assert not any(each in failed.err + failed.out for each in ("sek", "ret@", "6379"))
