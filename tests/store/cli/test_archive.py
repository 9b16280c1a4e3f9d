"""``archive``: from empty tables to an archived session, seen again."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from tests.store.cli.conftest import Run


def test_without_an_archive(run: Run) -> None:
    """Each command says that none is set."""
    for command in (
        ["init"], ["migrate"], ["run"], ["status"], ["retention"], ["get", "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"],
        ["list"],
    ):  # fmt: skip
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
    assert run("archive", "get", made, "--entries", "notes", "--json").json["file_path"] == "a.py"
    events = run("archive", "get", made, "--events", "--json").json_lines
    assert [each["type"] for each in events] == ["created", "updated", "ended"]
    assert run("archive", "list", "--status", "completed", "--ids").out == made + "\n"
    assert run("archive", "list", "--owner", "nobody", "--ids").out == ""
    assert run("archive", "list", "--json").json["sessions"][0] == ended
    run("archive", "get", made, "--tenant", "other", code=1)
    run("archive", "get", made, "--events", "--entries", "notes", code=2)

    assert "DROP TABLE" in run("archive", "migrate", "--to", "base", "--sql").out
    run("archive", "migrate", "--to", "base", "--yes")
    run("archive", "list", code=4)


@pytest.fixture
def archive_url(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put an archive into the settings."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    return postgres_url


def test_migrate(run: Run, archive_url: str) -> None:
    """Up without a question, down only with a yes; the SQL of both; and what is not a version."""
    assert run("archive", "migrate", "--to", "0001", "--json").json == {"version": "0001"}
    assert "CREATE TABLE sojourn.session_snapshots" in run("archive", "migrate", "--sql").out
    assert "version 0003" in run("archive", "migrate").out
    assert run("archive", "migrate", "--to", "0003", "--sql").out == "\n"
    asked = run("archive", "migrate", "--to", "0001", stdin="y\n", code=2).err
    assert "drops what version 0001 has no place for" in asked
    assert "add --yes" in asked
    assert run("archive", "list").out == ""
    would = run("archive", "migrate", "--to", "0001", "--dry-run", "--json").json
    assert (would["version"], would["to"], would["down"]) == ("0003", "0001", True)
    assert would["rows"]["session_snapshots"] == 0
    assert run("archive", "list").out == ""
    run("archive", "migrate", "--to", "0001", "--yes", "--timeout", "30s")
    run("archive", "list", code=4)
    assert "drops all that is archived" in run("archive", "migrate", "--to", "base", code=2).err
    run("archive", "migrate", "--to", "base", "--yes")
    assert run("archive", "migrate", "--dry-run", "--json").json["version"] is None
    assert "no version '4711'" in run("archive", "migrate", "--to", "4711", code=2).err
    assert archive_url


def test_where(run: Run, archive_url: str, own_models: None) -> None:
    """An indexed field of a model of one's own is a filter here as it is of `list`."""
    run("archive", "init")
    made = run("create", "--kind", "job", "--set", "queue=mail", "--set", "priority=3").out.strip()
    run("create", "--kind", "job", "--set", "queue=print")
    run("archive", "run")
    assert run("archive", "list", "--kind", "job", "--where", "queue=mail", "--ids").out == made + "\n"
    assert run("archive", "list", "--kind", "job", "--where", "priority=3", "--ids").out == made + "\n"
    assert "not an indexed field" in run("archive", "list", "--where", "queue=mail", code=2).err
    assert archive_url


def test_status(run: Run, store: Any, archive_url: str, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    """Exit code 0 where all is well, else 4, with what can be told all the same."""
    assert "run 'sojourn archive init'" in run("archive", "status", code=4).out
    run("archive", "init")
    store.create()
    found = run("archive", "status", "--json").json
    assert (found["dirty"], found["schema_held"], found["last_run"]) == (1, "0003", None)
    run("archive", "run")
    told = run("archive", "status").out
    assert "sessions waiting  0" in told
    assert "sessions 1, events 1" in told
    assert "available" in told
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", f"postgresql://ada:geheim@127.0.0.1:{free_port}/x")
    store.create()
    assert "is not available" in run("archive", "run", code=4).err
    away = run("archive", "status", code=4)
    assert "last error" in away.out
    assert "geheim" not in away.out + away.err
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", archive_url)
    monkeypatch.setenv("SOJOURN_REDIS_URL", f"redis://127.0.0.1:{free_port}/0")
    found = run("archive", "status", "--json", code=4).json
    assert (found["dirty"], found["schema_held"], found["archive_problem"]) == (None, "0003", None)
    assert str(free_port) in found["redis_problem"]


def test_retention(run: Run, store: Any, archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per rule what would go, then what went."""
    run("archive", "init")
    assert "all sessions are kept" in run("archive", "retention").err
    for _ in range(3):
        store.complete(store.create().id)
    store.fail(store.create().id)
    run("archive", "run")
    with psycopg.connect(archive_url) as connection:
        connection.execute("UPDATE sojourn.sessions SET ended_at = now() - interval '2 days'")
    monkeypatch.setenv("SOJOURN_ARCHIVE_RETENTION", '[{"status": "failed", "keep": null}, {"keep": "P1DT12H"}]')
    dry = run("archive", "retention", "--dry-run")
    assert [line.split() for line in dry.out.splitlines()] == [
        ["STATUS", "KIND", "KEEP", "SESSIONS"], ["failed", "any", "for", "ever", "0"], ["any", "any", "1d12h", "3"],
    ]  # fmt: skip
    assert run("archive", "retention", "--dry-run", "--json").json["rules"][1]["sessions"] == 3
    done = run("archive", "retention", "--json").json
    assert [each["sessions"] for each in done["rules"]] == [0, 3]
    assert done["rules"][1]["events"] == 6
    assert len(run("archive", "list", "--ids").out.splitlines()) == 1


def test_archive_away(run: Run, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4, without the password."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_RETENTION", '[{"keep": 60}]')
    url = f"postgresql://ada:geheim@127.0.0.1:{free_port}/x"
    for command in (["init"], ["migrate"], ["retention"], ["list"]):
        failed = run("archive", *command, "--archive-url", url, code=4)
        assert failed.err.count("\n") == 1
        assert "geheim" not in failed.err
