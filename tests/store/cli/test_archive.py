"""``archive``: from empty tables to an archived session, seen again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.cli.conftest import Run


def test_without_an_archive(run: Run) -> None:
    """Each command says that none is set."""
    for command in (["init"], ["run"], ["get", "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"], ["list"]):
        assert "archive_url is not set" in run("archive", *command, code=2).err


def test_from_tables_to_a_session_seen_again(
    run: Run, store: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Init, run, get and list; then back to nothing."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    assert "archive init" in run("archive", "list", code=4).err
    assert "CREATE TABLE" in run("archive", "init", "--sql").out
    assert run("archive", "init", "--json").json["version"]

    made = run("create", "--kind", "documentation", "--set", "workspace_id=w", "--set", "module_name=m").out.strip()
    note = '{"file_path": "a.py", "status": "done", "created_at": "2026-01-31T12:00:00Z"}'
    run("append", made, "notes", note)
    ended = run("end", made, "--json").json
    report = run("archive", "run", "--json").json
    assert (report["sessions"], report["entries"], report["complete"]) == (1, 1, True)
    assert "settled" in run("archive", "run").out

    assert run("archive", "get", made, "--json").json == ended
    assert "workspace_id" in run("archive", "get", made).out
    assert run("archive", "get", made, "--entries", "notes", "--json").json[0]["file_path"] == "a.py"
    events = run("archive", "get", made, "--events", "--json").json_lines
    assert [each["type"] for each in events] == ["created", "updated", "ended"]
    assert run("archive", "list", "--status", "completed", "--ids").out == made + "\n"
    assert run("archive", "list", "--owner", "nobody", "--ids").out == ""
    assert run("archive", "list", "--json").json["sessions"][0] == ended
    run("archive", "get", made, "--tenant", "other", code=1)
    run("archive", "get", made, "--events", "--entries", "notes", code=2)

    assert "DROP TABLE" in run("archive", "init", "--downgrade", "base", "--sql").out
    run("archive", "init", "--downgrade", "base")
    run("archive", "list", code=4)


def test_archive_away(run: Run, free_port: int) -> None:
    """Exit code 4, without the password."""
    url = f"postgresql://ada:geheim@127.0.0.1:{free_port}/x"
    for command in (["init"], ["list"]):
        failed = run("archive", *command, "--archive-url", url, code=4)
        assert failed.err.count("\n") == 1
        assert "geheim" not in failed.err
