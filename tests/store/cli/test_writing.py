"""``create``, ``update``, ``append``: what is typed arrives in Redis, and what is refused changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.store.cli.conftest import Run

NOTE = '{"file_path": "a.py", "status": "done", "created_at": "2026-01-31T12:00:00Z"}'


def test_create_prints_the_id_and_sets_what_was_given(run: Run, store: Any) -> None:
    """All options of create reach the session."""
    made = run(
        "create", "--owner", "ada", "--client-type", "ide", "--tag", "a", "--tag", "b", "--metadata", '{"seat": 12}',
        "--ttl", "1h30m", "--max-lifetime", "2d",
    )  # fmt: skip
    session = store.get(made.out.strip())
    assert (session.owner, session.client_type, session.tags) == ("ada", "ide", ("a", "b"))
    assert session.metadata == {"seat": 12}
    assert (session.ttl, session.max_lifetime) == (timedelta(minutes=90), timedelta(days=2))


def test_create_as_json_is_the_whole_session(run: Run, store: Any) -> None:
    """With --json a session is its model's dump."""
    made = run("create", "--json", "--ttl", "never").json
    assert made == store.get(made["id"]).model_dump(mode="json")
    assert made["expires_at"] is None


def test_create_of_a_kind_takes_its_fields(run: Run) -> None:
    """--set reads JSON for fields that call for it, and text for text fields, numbers too."""
    made = run(
        "create", "--kind", "documentation", "--json", "--set", "workspace_id=42", "--set", "module_name=json",
        "--set", 'file_paths=["a.py"]', "--set", "total_files=1",
    ).json  # fmt: skip
    assert (made["workspace_id"], made["module_name"]) == ("42", "json")
    assert (made["file_paths"], made["total_files"]) == (["a.py"], 1)


@pytest.mark.usefixtures("own_models")
def test_models_of_the_settings_are_known(run: Run) -> None:
    """A user's own model can be created, updated, counted on, logged to and listed by."""
    made = run("create", "--kind", "job", "--set", "queue=q1", "--set", "priority=3").out.strip()
    assert run("update", made, "--add", "attempts=2", "--json").json == {"attempts": 2}
    assert run("append", made, "lines", "one", "-", stdin="two\nthree\n", code=0).out == "lines  3 entries\n"
    assert run("get", made, "--entries", "lines", "--json", "--start", "1").json_lines == ["two", "three"]
    assert run("list", "--kind", "job", "--where", "priority=3", "--where", "queue=q1", "--ids").out == made + "\n"
    assert run("list", "--kind", "job", "--where", "priority=4", "--ids").out == ""


@pytest.mark.usefixtures("own_models")
def test_a_kinds_own_transitions_hold(run: Run) -> None:
    """What the session's own model forbids is a conflict, also for a command that does not name the kind."""
    made = run("create", "--kind", "job").out.strip()
    assert "transition" in run("end", made, code=3).err


def test_update_changes_and_unsets(run: Run, store: Any) -> None:
    """Fields are set, and go back to their defaults."""
    made = store.create(owner="ada", tags=["a"], metadata={"x": 1}).id
    told = run("update", made, "--set", "client_type=ide", "--status", "in_progress", "--version", "1")
    assert told.out == f"{made}  version 2\n"
    after = run("update", made, "--unset", "owner", "--unset", "tags", "--unset", "metadata", "--json").json
    assert (after["owner"], after["tags"], after["metadata"], after["client_type"]) == (None, [], {}, "ide")
    assert run("update", made, "--tag", "z", "--json").json["tags"] == ["z"]


def test_update_of_the_ttl(run: Run, store: Any) -> None:
    """--ttl sets another TTL, and never takes it away."""
    made = store.create().id
    assert run("update", made, "--ttl", "45s", "--json").json["ttl"] == "PT45S"
    assert run("update", made, "--ttl", "never", "--json").json["expires_at"] is None


def test_counters_in_words(run: Run) -> None:
    """--add prints each counter and its new value."""
    made = run("create", "--kind", "documentation", "--set", "workspace_id=w", "--set", "module_name=m").out.strip()
    assert run("update", made, "--add", "processed_files=3").out == "processed_files  3\n"
    assert run("update", made, "--add", "processed_files=-1").out == "processed_files  2\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "nothing to change"),
        (["--ttl", "1h", "--owner", "x"], "a call each"),
        (["--ttl", "1h", "--version", "1"], "--version goes with"),
        (["--add", "processed_files=1", "--add", "processed_files=1"], "given twice"),
        (["--add", "processed_files=x"], "must be an int"),
        (["--add", "owner=1"], "not a counter"),
        (["--set", "nope=1"], "no such field"),
        (["--unset", "nope"], "no such field"),
        (["--unset", "workspace_id"], "required"),
        (["--set", "version=9"], "kept by Sojourn"),
        (["--set", "novalue"], "NAME=VALUE"),
        (["--status", "completed"], "complete()"),
        (["--metadata", "[1]"], "JSON object"),
        (["--metadata", "{"], "not JSON"),
        (["--version", "0", "--owner", "x"], "range"),
    ],
)
def test_refused_updates_are_usage_errors_and_change_nothing(run: Run, options: list[str], told: str) -> None:
    """A refused update tells why on one line, and leaves the version as it was."""
    made = run("create", "--kind", "documentation", "--set", "workspace_id=w", "--set", "module_name=m").out.strip()
    refused = run("update", made, *options, code=2)
    assert told in refused.err
    assert refused.err.startswith("sojourn: ")
    assert refused.err.count("\n") == 1
    assert refused.out == ""
    assert run("get", made, "--json").json["version"] == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "ttl=5"], "kept by Sojourn"),
        (["--set", "self=5"], "no such field"),
        (["--ttl", "0"], "ttl"),
        (["--ttl", "-5"], "not a duration"),
        (["--ttl", "soon"], "not a duration"),
        (["--ttl", "9999999999999w"], "ttl"),
        (["--kind", "zebra"], "no model is known"),
        (["--kind", "documentation"], "required"),
        (["--owner", ""], "empty"),
        (["--tenant", "a b"], "tenant"),
    ],
)
def test_refused_creates_are_usage_errors(run: Run, client: Any, options: list[str], told: str) -> None:
    """A refused create tells why, and writes no session."""
    assert told in run("create", *options, code=2).err
    assert not client.keys("*:session:*")


def test_append_checks_entries_and_logs(run: Run) -> None:
    """Entries are validated by the model, all or none, and a log must be one of its."""
    made = run("create", "--kind", "documentation", "--set", "workspace_id=w", "--set", "module_name=m").out.strip()
    assert run("append", made, "notes", NOTE, "--json").json == {"log": "notes", "length": 1}
    assert "notes" in run("append", made, "notes", NOTE, "3", code=2).err
    assert "is not a log" in run("append", made, "nope", "x", code=2).err
    assert run("get", made, "--entries", "notes", "--json").json["file_path"] == "a.py"
    assert "a.py" in run("get", made, "--entries", "notes").out
    assert "--entries" in run("get", made, "--start", "1", code=2).err
