"""``sojourn mcp``."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.cli.conftest import Run

from sojourn import Limits, McpSession, SessionStore, Settings
from sojourn.archive import archive_once, init

UNKNOWN_ID = "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"


@pytest.fixture
def calls(any_redis_url: str) -> Any:
    """Give a store of MCP sessions whose logs hold ten entries."""
    settings = Settings(redis_url=any_redis_url, limits=Limits(log_entries=10))
    with SessionStore(model=McpSession, settings=settings) as store:
        yield store


def _recorded(store: Any, count: int) -> str:
    made = store.create(owner="ada", ttl=None)
    executions = [{"tool": f"t{n % 2}", "duration": n / 1000, "success": n % 4 > 0} for n in range(count)]
    store.mcp.record_tool_executions(made.id, executions)
    return str(made.id)


def test_metrics(run: Run, calls: Any) -> None:
    """A line per tool, and one for all; or everything as JSON."""
    session_id = _recorded(calls, 12)
    ran = run("mcp", "metrics", session_id)
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["TOOL", "TOTAL", "FAILED", "SUCCESS", "AVERAGE", "DURATION"]
    assert [line[:4] for line in lines[1:]] == [
        ["t0", "6", "3", "50.0%"], ["t1", "6", "0", "100.0%"], ["(all)", "12", "3", "75.0%"],
    ]  # fmt: skip
    assert lines[3][4:] == ["0.0055s", "0.066s"]
    assert "2 entries of its log had to leave" in ran.err
    told = run("mcp", "metrics", session_id, "--owner", "ada", "--json").json
    assert (told["total"], told["failed"], told["success_rate"]) == (12, 3, 0.75)
    assert told["tools"]["t1"]["total"] == 6
    assert told["buckets"][-1] == {"bound_ms": None, "count": 12}
    empty = run("mcp", "metrics", calls.create().id).out.splitlines()
    assert empty[1].split() == ["(all)", "0", "0", "-", "-", "0s"]


def test_executions_in_redis(run: Run, calls: Any) -> None:
    """Those that are there, in order, as a table or as JSON lines; what is missing is told."""
    session_id = _recorded(calls, 12)
    ran = run("mcp", "executions", session_id)
    assert ran.out.splitlines()[0].split() == ["TOOL", "AT", "DURATION", "SUCCESS", "ERROR", "ARGUMENTS_DIGEST"]
    assert len(ran.out.splitlines()) == 11
    assert "2 earlier ones are no longer in Redis" in ran.err
    told = run("mcp", "executions", session_id, "--start", "3", "--count", "2", "--json").json_lines
    assert [(each["tool"], each["duration"]) for each in told] == [("t1", "PT0.003S"), ("t0", "PT0.004S")]
    assert "no executions" in run("mcp", "executions", calls.create().id).err


def test_executions_in_the_archive(run: Run, calls: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older ones come from there; all do of a session that is gone from Redis."""
    init(postgres_url)
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    settings = calls.settings.model_copy(update={"archive_url": postgres_url})
    session_id = _recorded(calls, 8)
    archive_once(settings)
    calls.mcp.record_tool_executions(session_id, [{"tool": "late", "duration": 1}] * 8)
    told = run("mcp", "executions", session_id, "--json").json_lines
    assert [each["tool"] for each in told] == ["t0", "t1"] * 4 + ["late"] * 8
    told = run("mcp", "executions", session_id, "--json", "--start", "5", "--count", "4").json_lines
    assert [each["tool"] for each in told] == ["t1", "t0", "t1", "late"]
    run("mcp", "terminate", session_id, "--reason", "bye")
    archive_once(settings.model_copy(update={"retention": settings.retention * 0}))
    calls.delete(session_id)
    archive_once(settings)
    assert len(run("mcp", "executions", session_id, "--json").json_lines) == 16
    assert len(run("mcp", "executions", session_id, "--json", "--start", "15", "--count", "9").json_lines) == 1
    run("mcp", "executions", session_id, "--owner", "eve", code=1)
    run("mcp", "executions", UNKNOWN_ID, code=1)


def test_terminate(run: Run, calls: Any) -> None:
    """It ends, if it is the owner's."""
    session_id = _recorded(calls, 1)
    assert "does not exist" in run("mcp", "terminate", session_id, "--owner", "eve", code=1).err
    assert "does not exist" in run("mcp", "terminate", session_id, "--owner", "eve", "--dry-run", code=1).err
    looked = run("mcp", "terminate", session_id, "--owner", "ada", "--dry-run", "--json")
    assert (looked.json["status"], "nothing was changed" in looked.err) == ("pending", True)
    assert calls.get(session_id).is_live
    told = run("mcp", "terminate", session_id, "--owner", "ada", "--reason", "bye", "--json").json
    assert (told["status"], told["end_reason"], told["executions"]) == ("terminated", "bye", 1)
    run("mcp", "terminate", session_id, code=3)
    run("mcp", "terminate", session_id, "--dry-run", code=3)


def test_other_sessions(run: Run, store: Any) -> None:
    """A session of another kind, one that is not there, and what is no id are refused."""
    other = store.create().id
    for command in ("metrics", "executions", "terminate"):
        assert "is of kind" in run("mcp", command, other, code=2).err
        run("mcp", command, UNKNOWN_ID, code=1)
        run("mcp", command, "nonsense", code=2)


def test_entries_of_a_bounded_log_are_not_numbered(run: Run, calls: Any) -> None:
    """`get --entries` does not know where the log begins."""
    session_id = _recorded(calls, 12)
    assert run("get", session_id, "--entries", "tool_executions").out.startswith("TOOL")
