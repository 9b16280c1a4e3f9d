"""Ids by their beginning, from arguments and from pipes; dry runs, which change nothing; and asking."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.drivers import snapshot
from tests.store.cli.conftest import Run

from sojourn import InvalidId, SessionStore, load_settings
from sojourn.archive import archive_once
from sojourn.lookup import check_beginning, find, find_archived

UNKNOWN_ID = "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"


def with_one_beginning(store: Any, many: int = 2) -> list[str]:
    """Create sessions until so many ids begin with the same four characters; return those."""
    found: dict[str, list[str]] = {}
    while True:
        for session in store.create_many([{"owner": "ada"}] * 100):
            own = found.setdefault(session.id[:4], [])
            own.append(session.id)
            if len(own) == many:
                return sorted(own)


@pytest.mark.parametrize(
    "command",
    [
        ["get"], ["touch"], ["update", "--owner", "eve"], ["rotate"], ["token", "issue"], ["token", "list"],
        ["history"], ["end"], ["delete"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_by_beginning(run: Run, store: Any, command: list[str]) -> None:
    """Where an id goes, its beginning does, if it is no other's."""
    made = store.create().id
    run(*command, made[:9])
    run(*command, made[:4] + "zz", code=2)
    run(*command, made[:3], code=2)
    run(*command, "ffff" if not made.startswith("ffff") else "0000", code=1)


def test_ambiguous(run: Run, store: Any) -> None:
    """Several candidates are told, with kind, owner and age, in words and as JSON; nothing is done to any."""
    one, two = with_one_beginning(store)
    told = run("end", one[:4], code=2).err
    assert told.count("\n") == 1
    assert f"{one} session of ada created " in told
    assert two in told
    error = json.loads(run("get", one[:4], "--json", code=2).err)["error"]
    assert error["code"] == "ambiguous_id"
    assert [each["id"] for each in error["candidates"]] == [one, two]
    assert error["candidates"][0]["owner"] == "ada"
    assert store.get(one).is_live
    apart = next(number for number in range(36) if one[number] != two[number])
    assert run("get", one[: apart + 1], "--json").json["id"] == one


def test_what_is_a_beginning() -> None:
    """At least four characters of what an id can be, and never a token."""
    for text in ("0b0e", UNKNOWN_ID[:-1], UNKNOWN_ID[:9]):
        assert check_beginning(text) == text
    wrong: tuple[Any, ...] = ("0b0", "", "0B0E", "0b0e7f0e6", "----", UNKNOWN_ID[:9] + "6c1f-5", "sjt_07_abc", 7)
    for text in (*wrong, UNKNOWN_ID + "0"):
        with pytest.raises(InvalidId):
            check_beginning(text)


def test_find(store: Any, any_redis_url: str) -> None:
    """All of a tenant's, ended ones too, in order and up to a limit; nobody else's."""
    ids = sorted(each.id for each in store.create_many([{}] * 300))
    store.complete(ids[0])
    assert find(store, ids[0][:8]) == [ids[0]]
    by_digit = [each for each in ids if each.startswith(ids[5][:4])]
    assert find(store, ids[5][:4]) == by_digit[:6]
    assert find(store.for_tenant("acme"), ids[0][:8]) == []
    with SessionStore(any_redis_url, tenant="acme") as other:
        made = other.create().id
        assert find(other, made[:8]) == [made]
    assert find(store, made[:13]) == []


def test_archived_ones(run: Run, store: Any, client: Any, archive_url: str) -> None:
    """What Redis has let go of is found in the archive, by commands that look there."""
    made = store.create(owner="ada").id
    store.delete(made)
    archive_once(load_settings())
    client.flushdb()
    assert find_archived(load_settings(), made[:4]) == [made]
    assert find_archived(load_settings(), made[:4], tenant="acme") == []
    assert run("archive", "get", made[:8], "--json").json["id"] == made
    assert run("restore", made[:8], "--json").json["id"] == made
    assert run("history", made[:8], "--json").json_lines[0]["type"] == "created"
    assert run("audit", "list", "--session", made[:8], "--json").json["entries"]
    run("get", made[:8], code=1)
    assert archive_url


def test_pipes(run: Run, store: Any) -> None:
    """Ids of a pipe are dealt with as they come; of a thousand at a time, a wrong one stops all."""
    ids = [each.id for each in store.create_many([{}] * 5)]
    text = "\n".join(ids)
    assert [each["id"] for each in run("get", "-", "--json", stdin=text).json_lines] == ids
    assert len(run("get", "-", stdin=text).out.splitlines()) == 5
    assert len(run("touch", "-", stdin=text).out.splitlines()) == 5
    run("end", "-", stdin=run("list").out, code=2)
    assert all(each.is_live for each in store.get_many(ids))
    told = run("end", "-", UNKNOWN_ID, "--json", stdin=text, code=1)
    assert len(told.json_lines) == 5
    error, note = told.err.splitlines()
    assert json.loads(error)["error"]["code"] == "session_not_found"
    assert json.loads(note) == {"note": "5 ended, 1 not"}
    assert run("get", "-", stdin="").out == ""


DRY_RUNS = (
    "end ID", "end ID --status failed", "delete ID", "token revoke --session ID", "token revoke --owner ada",
    "token revoke", "tenant delete default", "events --group g --forget", "archive retention",
    "archive migrate --to base", "archive import a.jsonl", "rehydrate", "rehydrate ID", "restore ID --live",
    "dead drop --all", "secrets reseal",
)  # fmt: skip


def test_dry_runs_change_nothing(
    run: Run, store: Any, client: Any, archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis and the archive are afterwards as they were before, to the last byte; and something is told."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_RETENTION", '[{"keep": 0.001}]')
    made = store.create(owner="ada").id
    store.complete(store.create().id)
    token = store.tokens.issue(made).access
    run("events", "--group", "g", "--limit", "1")
    archive_once(load_settings())
    run("archive", "export", "a.jsonl")
    Path("a.jsonl").write_text(Path("a.jsonl").read_text().replace(made, UNKNOWN_ID))
    before = snapshot(client), dump(archive_url)
    for command in DRY_RUNS:
        words = [made if each == "ID" else each for each in command.split()]
        told = run(*words, "--dry-run", "--json", stdin=token)
        assert told.out + told.err, command
        assert run(*words, "--dry-run", stdin=token).err, command
        assert snapshot(client) == before[0], command
        assert dump(archive_url) == before[1], command


def test_what_a_dry_run_foretells(run: Run, store: Any, client: Any, archive_url: str) -> None:
    """It is what then happens: of rehydrating and of importing."""
    gone = store.create().id
    store.create()
    archive_once(load_settings())
    client.delete(*client.keys(f"*session:{gone}"), *client.keys(f"*lease:{gone}"))
    foretold = run("rehydrate", "--dry-run", "--json").json
    done = run("rehydrate", "--json").json
    for each in (foretold, done):
        del each["duration_s"], each["dry_run"]
    assert foretold == done
    assert (done["loaded"], done["same"]) == (1, 1)
    run("archive", "export", "a.jsonl")
    text = Path("a.jsonl").read_text()
    Path("a.jsonl").write_text(text + text.splitlines()[0].replace(gone, UNKNOWN_ID) + "\n")
    foretold = run("archive", "import", "a.jsonl", "--dry-run", "--json").json
    done = run("archive", "import", "a.jsonl", "--json").json
    assert foretold | {"dry_run": False} == done
    assert archive_url


def dump(url: str) -> list[Any]:
    """Return all rows of all tables."""
    with psycopg.connect(url) as sql:
        tables = [
            row[0]
            for row in sql.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'sojourn' ORDER BY tablename"
            ).fetchall()
        ]
        return [(each, sorted(map(repr, sql.execute(f"TABLE sojourn.{each}".encode()).fetchall()))) for each in tables]


@pytest.mark.parametrize(("answer", "code"), [("n\n", 130), ("y\n", 0)])
def test_asking(store: Any, answer: str, code: int) -> None:
    """On a terminal somebody is asked, and the answer counts; the question is not among the results."""
    made = store.create(owner="ada")
    store.tokens.issue(made.id)
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "sojourn.cli", "token", "revoke", "--owner", "ada"]
    process = subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    asked = b""
    while b"[y/N]" not in asked:
        asked += os.read(controller, 1000)
    assert b"all tokens of all sessions of ada" in asked
    os.write(controller, answer.encode())
    out, _ = process.communicate(timeout=30)
    os.close(controller)
    assert process.returncode == code
    assert out == ("2 tokens revoked\n" if code == 0 else "")
    assert len(store.tokens.list(made.id)) == (code != 0)
