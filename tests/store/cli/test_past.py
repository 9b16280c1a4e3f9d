"""``history``, ``restore`` and ``rehydrate``."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.cli.conftest import Run

from sojourn.archive import init

UNKNOWN_ID = "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"


@pytest.fixture
def archived(run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an archive."""
    init(postgres_url)
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    monkeypatch.setenv("SOJOURN_RETENTION", "0")


def _life(run: Run) -> str:
    session_id = run("create", "--owner", "ada").out.strip()
    run("update", session_id, "--set", "owner=eve", "--set", 'tags=["x"]')
    return session_id


def test_history_of_what_is_archived_and_what_is_not(run: Run, archived: None) -> None:
    """Each event once and in order: who, when, which fields became what; from the archive and from the outbox."""
    session_id = _life(run)
    run("create")
    run("archive", "run")
    run("end", session_id, "--reason", "done")
    lines = run("history", session_id).out.splitlines()
    assert [line.split()[1] for line in lines] == ["created", "updated", "ended"]
    assert "owner=ada->eve" in lines[1]
    assert "status=pending->completed" in lines[2]
    told = run("history", session_id, "--json").json_lines
    assert [each["version"] for each in told] == [1, 2, 3]
    assert told[1]["before"]["owner"] == "ada"
    assert "does not exist" in run("history", UNKNOWN_ID, code=1).err
    run("history", "nonsense", code=2)


def test_history_without_an_archive(run: Run) -> None:
    """Then it tells what the outbox still holds."""
    session_id = _life(run)
    assert [each["type"] for each in run("history", session_id, "--json").json_lines] == ["created", "updated"]


def test_restore(run: Run, archived: None) -> None:
    """Shown as it was, or made live again; from its end too."""
    session_id = _life(run)
    run("end", session_id)
    run("archive", "run")
    assert run("restore", session_id, "--version", "1", "--json").json["owner"] == "ada"
    assert run("restore", session_id, "--json").json["status"] == "completed"
    live = run("restore", session_id, "--version", "1", "--live", "--ttl", "90s", "--json").json
    assert (live["owner"], live["status"], live["version"]) == ("ada", "pending", 4)
    assert run("get", session_id, "--json").json["ttl"] == "PT1M30S"
    assert "version 99" in run("restore", session_id, "--version", "99", code=1).err
    assert run("restore", session_id, "--at", "2001-01-01T00:00:00Z", code=1).err
    run("restore", session_id, "--ttl", "5s", code=2)
    run("restore", session_id, "--version", "1", "--at", "1h", code=2)


def test_rehydrate(run: Run, archived: None, client: Any) -> None:
    """An empty Redis has its sessions back; ids that the archive does not hold are told by the exit code."""
    session_id = _life(run)
    run("archive", "run")
    client.flushall()
    assert run("rehydrate", "--json").json["loaded"] == 1
    assert run("get", session_id, "--json").json["owner"] == "eve"
    assert "same" in run("rehydrate", session_id).out
    assert "not in the archive" in run("rehydrate", UNKNOWN_ID, code=1).err
    assert run("rehydrate", "--tenant", "acme", "--json").json["same"] == 0
