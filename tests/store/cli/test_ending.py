"""``touch``, ``end`` and ``delete``: several sessions, ids from pipes, and the exit codes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.cli.conftest import Run

UNKNOWN_ID = "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"


@pytest.mark.parametrize("status", ["completed", "failed", "terminated"])
def test_end_with_each_status(run: Run, store: Any, status: str) -> None:
    """The status and the reason reach the session."""
    made = store.create().id
    assert run("end", made, "--status", status, "--reason", "enough").out == f"{made}  {status}\n"
    ended = store.get(made)
    assert (ended.status, ended.end_reason) == (status, "enough")


def test_ids_come_from_arguments_and_stdin(run: Run, store: Any) -> None:
    """A dash stands for the ids on stdin, however they are separated."""
    ids = [store.create().id for _ in range(4)]
    told = run("end", ids[0], "-", "--json", stdin=f"{ids[1]} {ids[2]}\n\n{ids[3]}\n")
    assert [(each["id"], each["status"]) for each in told.json_lines] == [(each, "completed") for each in ids]
    assert run("end", "-", stdin="").out == ""


def test_one_failure_does_not_stop_the_others(run: Run, store: Any) -> None:
    """Each failure is told on a line of its own, and the exit code is the worst."""
    ended, live = store.create().id, store.create().id
    store.complete(ended)
    told = run("end", UNKNOWN_ID, ended, live, code=3)
    assert told.out == f"{live}  completed\n"
    *each, summary = told.err.splitlines()
    assert [line.split()[2] for line in each] == [UNKNOWN_ID, ended]
    assert summary == "1 ended, 2 not"
    assert run("end", UNKNOWN_ID, code=1).out == ""


def test_a_malformed_id_stops_all(run: Run, store: Any) -> None:
    """Nothing is ended if one of the ids is none."""
    live = store.create().id
    run("end", live, "nonsense", code=2)
    run("delete", "-", stdin=f"{live} ../etc", code=2)
    assert store.get(live).is_live


def test_end_against_a_version(run: Run, store: Any) -> None:
    """Another version than the expected one is a conflict."""
    made = store.create().id
    assert "version 1" in run("end", made, "--version", "2", code=3).err
    run("end", made, "--version", "1")


def test_touch_tells_the_new_deadline(run: Run, store: Any) -> None:
    """In words, and as JSON."""
    made, endless = store.create(ttl=60).id, store.create(ttl=None).id
    assert run("touch", made, endless).out.splitlines()[1] == f"{endless}  never expires"
    told = run("touch", made, "--json").json
    assert told == {"id": made, "tenant": "default", "expires_at": run("get", made, "--json").json["expires_at"]}
    store.complete(made)
    run("touch", made, code=3)


def test_delete(run: Run, store: Any) -> None:
    """Live and ended sessions go, and are then not found."""
    live, ended = store.create().id, store.create().id
    store.complete(ended)
    told = run("delete", live, ended, "--reason", "gdpr", "--json").json_lines
    assert [each["status"] for each in told] == ["deleted", "deleted"]
    run("delete", live, code=1)
    run("get", ended, code=1)
