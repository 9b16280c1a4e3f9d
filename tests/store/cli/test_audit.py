"""``audit``, and what the other commands tell it."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.store.cli.conftest import Run
from tests.store.secrets.examples import FIRST, SECOND

from sojourn.cli.tree import walk

USER = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
UNKNOWN_ID = "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"


def trail(run: Run, *args: str) -> list[dict[str, Any]]:
    """Archive what happened, and return the audit trail, oldest first."""
    run("archive", "run")
    entries: list[dict[str, Any]] = run("audit", "--all", "--json", *args).json["entries"]
    return entries[::-1]


def administered(client: Any, tenant: str = "default") -> list[dict[str, Any]]:
    """Return what the outboxes tell that operators did: actor, trace and all."""
    found = []
    for key in sorted(client.scan_iter("sojourn:{*}:events")):
        for _, fields in client.xrange(key):
            if fields["type"] == "administered" and fields["tenant"] == tenant:
                found.append({"actor": fields["actor"], "trace": fields["trace"]} | json.loads(fields["changes"]))
    return found


def test_who_what_from_where(run: Run, archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user of the machine, unless the options, the environment or the file name another; the trace likewise."""
    made = run("create", "--owner", "ada").out.strip()
    run("update", made, "--set", "owner=eve", "--actor", "ada", "--trace", "t-1")
    run("--actor", "eve", "end", made, "--trace-id", "t-2")
    monkeypatch.setenv("SOJOURN_ACTOR", "deployer")
    monkeypatch.setenv("SOJOURN_TRACE_ID", "build-7")
    run("create")
    Path("sojourn.yaml").write_text("actor: from the file\n")
    monkeypatch.delenv("SOJOURN_ACTOR")
    run("delete", made)
    found = [(each["action"], each["actor"], each["trace_id"]) for each in trail(run)]
    assert found == [
        ("created", USER, ""), ("updated", "ada", "t-1"), ("session.update", "ada", "t-1"), ("ended", "eve", "t-2"),
        ("session.end", "eve", "t-2"),
        ("created", "deployer", "build-7"), ("deleted", "from the file", "build-7"),
        ("session.delete", "from the file", "build-7"),
    ]  # fmt: skip
    for wrong in ("a\nb", "x" * 257):
        assert "printable text" in run("create", "--actor", wrong, code=2).err


def test_list(run: Run, archive_url: str) -> None:
    """Tables and JSON, filters and pages, with and without the word `list`."""
    assert "nothing in the audit trail" in run("audit").err
    assert run("audit", "--json").json == {"entries": [], "cursor": None}
    first, second = (run("create", "--actor", each).out.strip() for each in ("ada", "eve"))
    run("end", first, "--actor", "eve", "--reason", "enough")
    run("archive", "run")
    for command in (["audit"], ["audit", "list"]):
        shown = run(*command).out.splitlines()
        assert [line.split()[0] for line in shown] == ["SEQ", "4", "3", "2", "1"]
        assert "end_reason=enough" in shown[2]
        assert first in shown[2]
        lines = run(*command, "--actor", "eve", "--json").json["entries"]
        assert [each["action"] for each in lines] == ["session.end", "ended", "created"]
        assert [each["seq"] for each in run(*command, "--session", second, "--json").json["entries"]] == [2]
        assert len(run(*command, "--action", "created", "--action", "ended", "--json").json["entries"]) == 3
        assert run(*command, "--since", "1h", "--until", "2020-01-01T00:00:00Z", "--json").json["entries"] == []
        page = run(*command, "--limit", "3")
        cursor = page.err.split()[-1]
        assert "there are more" in page.err
        assert len(run(*command, "--limit", "3", "--cursor", cursor).out.splitlines()) == 2
        assert "comes from another query" in run(*command, "--actor", "ada", "--cursor", cursor, code=2).err
        assert run(*command, "--tenant", "acme", "--json").json["entries"] == []
        for wrong in (["--session", "x"], ["--since", "x"], ["--limit", "0"], ["--all", "--limit", "3"], ["x"]):
            assert run(*command, *wrong, code=2).err.count("\n") == 1
    assert "behind the command" in run("audit", "--actor", "ada", "verify", code=2).err
    assert "--actor NAME" in run("audit", "--help").out
    assert "Who acts" not in run("audit", "list", "--help").out


def test_verify(run: Run, archive_url: str) -> None:
    """Exit code 0 for sound chains, 5 for damaged ones, with the place and the kind; a kept head is expected."""
    for tenant in ("default", "acme"):
        for _ in range(3):
            run("create", "--tenant", tenant)
    run("archive", "run")
    sound = run("audit", "verify").out.split()
    assert sound[:4] == ["default", "sound", "3", "rows"]
    assert run("audit", "verify", "--json").json["head"] == sound[4]
    assert run("audit", "verify", "--expect", sound[4]).out.split() == sound
    assert "unexpected" in run("audit", "verify", "--expect", "2:" + "0" * 64, code=5).err
    assert "SEQ:HASH" in run("audit", "verify", "--expect", "x", code=2).err
    assert "neither" in run("audit", "verify", "--expect", sound[4], "--all-tenants", code=2).err
    assert "neither" in run("audit", "verify", "--tenant", "acme", "--all-tenants", code=2).err
    with psycopg.connect(archive_url) as connection:
        connection.execute("ALTER TABLE sojourn.audit DISABLE TRIGGER ALL")
        connection.execute("UPDATE sojourn.audit SET actor = 'eve' WHERE tenant = 'acme' AND seq = 2")
    run("audit", "verify")
    damaged = run("audit", "verify", "--all-tenants", code=5)
    assert [line.split()[:2] for line in damaged.out.splitlines()] == [["acme", "DAMAGED"], ["default", "sound"]]
    assert damaged.err == "sojourn: tenant 'acme', seq 2: changed: the row is not as it was written\n"
    told = run("audit", "verify", "--all-tenants", "--json", code=5).json_lines
    assert told[0]["problem"] == {"seq": 2, "kind": "changed", "message": "the row is not as it was written"}
    assert [each["is_sound"] for each in told] == [False, True]


def test_without_an_archive(run: Run, postgres_url: str) -> None:
    """Each says that none is set, or that it has no tables."""
    for command in (["audit"], ["audit", "list"], ["audit", "verify"]):
        assert "archive_url is not set" in run(*command, code=2).err
        assert "archive init" in run(*command, "--archive-url", postgres_url, code=4).err


def test_what_operators_do(run: Run, client: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command that changes something tells who ran it, on what, and what came of it; reading ones tell nothing."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    monkeypatch.setenv("SOJOURN_ACTOR", "ada")
    monkeypatch.setenv("SOJOURN_TRACE_ID", "t-1")
    monkeypatch.setenv("SOJOURN_RETENTION", "0")
    run("archive", "init")
    run("archive", "migrate")
    one, other = run("create").out.strip(), run("create").out.strip()
    document = run("create", "--kind", "documentation", "--set", "workspace_id=w", "--set", "module_name=m").out.strip()
    run("update", one, "--set", "client_type=web", "--tag", "secret")
    run("update", one, "--ttl", "1h")
    run("update", one, "--version", "99", "--tag", "x", code=3)
    run("update", document, "--add", "processed_files=2")
    note = {"file_path": "secret.py", "status": "done", "created_at": "2026-01-31T12:00:00Z"}
    run("append", document, "notes", json.dumps(note))
    run("touch", one, other)
    run("touch", UNKNOWN_ID, code=1)
    run("delete", document)
    run("end", one, "--status", "failed")
    run("end", UNKNOWN_ID, code=1)
    run("delete", other)
    run("archive", "run")
    run("archive", "run", "--all")
    run("restore", one, "--live")
    run("restore", one, "--version", "99", "--live", code=1)
    run("rehydrate")
    run("rehydrate", one)
    run("dead", "replay", "--all")
    run("dead", "drop", "--hook", "mail", "--yes")
    run("archive", "export", "a.jsonl")
    run("archive", "import", "a.jsonl")
    Path("b.jsonl").write_text("{broken\n")
    run("archive", "import", "b.jsonl", "--strict", code=5)
    run("archive", "retention")
    run("archive", "retention", "--dry-run")
    run("events", "--group", "g")
    run("events", "--group", "g", "--forget", "--yes")
    run("cleanup", "--due", "--inactive", "7d", "--yes")
    told = administered(client)
    assert "secret" not in json.dumps(told)
    assert {(each.pop("actor"), each.pop("trace")) for each in told} == {("ada", "t-1")}
    assert [(each.pop("action"), each) for each in told] == [
        ("archive.init", {"version": "0003"}),
        ("archive.migrate", {"to": "head", "version": "0003"}),
        ("session.update", {"id": one, "changed": ["client_type", "tags"]}),
        ("session.update", {"id": one, "changed": ["ttl"]}),
        ("session.update", {"id": one, "changed": ["tags"], "failed": "VersionConflict"}),
        ("session.update", {"id": document, "changed": ["processed_files"]}),
        ("session.append", {"id": document, "log": "notes", "entries": 1}),
        ("session.touch", {"sessions": 2, "ids": [one, other]}),
        ("session.touch", {"sessions": 0, "ids": []}),
        ("session.delete", {"sessions": 1, "ids": [document]}),
        ("session.end", {"status": "failed", "sessions": 1, "ids": [one]}),
        ("session.end", {"status": "completed", "sessions": 0, "ids": []}),
        ("session.delete", {"sessions": 1, "ids": [other]}),
        ("archive.run", {"again": 0}),
        ("session.restore", {"id": one, "version": 5}),
        ("session.restore", {"id": one, "failed": "VersionNotFound"}),
        ("session.rehydrate", told[16]),
        ("session.rehydrate", told[17]),
        ("dead.replay", {"all": True, "replayed": 0}),
        ("dead.drop", {"hook": "mail"}),
        ("archive.export", {"file": "a.jsonl", "table": "sessions", "all_tenants": False, "rows": 3}),
        ("archive.import", {"file": "a.jsonl", "read": 3, "written": 0, "unchanged": 3, "damaged": 0}),
        ("archive.import", {"file": "b.jsonl", "failed": "DamagedFile"}),
        ("archive.retention", {"sessions": 0, "stray_events": 0, "audit_rows": 0}),
        ("events.forget", {"group": "g", "found": True}),
        ("session.cleanup", told[-1]),
    ]
    assert (told[16]["all_tenants"], told[16]["loaded"], told[17]["all_tenants"]) == (True, 0, False)
    assert (told[-1]["due"], told[-1]["ended"]) == (True, 0)
    assert [each["action"] for each in trail(run, "--action", "events.forget")] == ["events.forget"]


TELLING = {
    "append", "archive export", "archive import", "archive init", "archive migrate", "archive retention", "archive run",
    "cleanup", "dead drop", "dead replay", "delete", "doctor", "end", "events", "rehydrate", "restore", "touch",
    "update",
}  # fmt: skip
"""What tells the audit by itself: tried in `test_what_operators_do`, and `doctor` with what it mends."""
TOLD_BY_LIBRARY = {
    "acl": "tenant.confine", "create": "created", "mcp terminate": "ended", "rotate": "rotated",
    "secrets reseal": "secrets.reseal", "tenant delete": "tenant.delete", "tenant isolate": "tenant.isolate",
    "tenant limits": "tenant.limits", "token issue": "token_issued", "token refresh": "token_refreshed",
    "token revoke": "token_revoked",
}  # fmt: skip
"""What the library tells of, and as what."""
LOOKING = {
    "archive get", "archive list", "archive status", "audit", "audit list", "audit verify", "completion", "config",
    "dead list", "dead show", "get", "health", "history", "inspect", "list", "mcp executions", "mcp metrics", "metrics",
    "secrets keygen", "secrets status", "tenant list", "tenant show", "token list", "token verify", "top", "watch",
}  # fmt: skip
"""What changes nothing."""
ALSO_WITHOUT = {"shell", "worker"}
"""What is done in a shell is told as what it is; workers do what the settings say."""


def test_whether_each_command_is_told() -> None:
    """Whoever adds a command says here who tells the audit of it."""
    names = {node.name.removeprefix("sojourn ") for node in walk() if node.outputs or not node.is_group}
    sorts = [TELLING, set(TOLD_BY_LIBRARY), LOOKING, ALSO_WITHOUT]
    assert names == set().union(*sorts)
    assert sum(map(len, sorts)) == len(names)


def test_what_the_library_tells_of(run: Run, archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that need not tell: each is in the trail by what it did, with who did it and from where."""
    monkeypatch.setenv("SOJOURN_ACTOR", "ada")
    monkeypatch.setenv("SOJOURN_TENANT", "acme")
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", FIRST)
    Path("secret").write_text('{"a": "b"}')
    made = run("create", "--kind", "mcp", "--owner", "bob", "--set", "credentials=@secret").out.strip()
    _, old = run("token", "issue", made).out.split()
    access, _ = run("token", "refresh", stdin=old).out.split()
    run("token", "revoke", stdin=access)
    moved = run("rotate", made).out.strip()
    run("tenant", "limits", "acme", "--sessions", "9")
    run("tenant", "isolate", "acme")
    run("acl", "acme", "--apply")
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", f"{FIRST} {SECOND}")
    run("secrets", "reseal")
    run("mcp", "terminate", moved, "--owner", "bob")
    run("tenant", "delete", "acme", "--yes")
    found = {each["action"]: each["actor"] for each in trail(run)}
    assert found.keys() >= set(TOLD_BY_LIBRARY.values())
    assert set(found.values()) == {"ada"}


def test_rehydrated_by(run: Run, client: Any, archive_url: str) -> None:
    """Sessions that come back tell who brought them back."""
    run("create", "--actor", "ada")
    run("archive", "run")
    client.flushall()
    run("rehydrate", "--actor", "eve")
    found = [(each["action"], each["actor"]) for each in trail(run)]
    assert found == [("created", "ada"), ("rehydrated", "eve"), ("session.rehydrate", "eve")]


def test_redis_away(run: Run, postgres_url: str, free_port: int) -> None:
    """What is done is done, but it is said that the audit does not know of it."""
    done = run("archive", "init", "--archive-url", postgres_url, "--redis-url", f"redis://127.0.0.1:{free_port}/0")
    assert "version 0003" in done.out
    assert done.err.startswith("sojourn: the audit trail could not be told of archive.init: Redis at")


def test_retention(run: Run, archive_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what would go and what went, and stops at what was tampered with."""
    for tenant in ("default", "acme"):
        run("create", "--tenant", tenant)
    run("archive", "run")
    monkeypatch.setenv("SOJOURN_AUDIT_RETENTION", "0.001")
    assert "would remove 2 rows of the audit trail" in run("archive", "retention", "--dry-run").err
    with psycopg.connect(archive_url) as connection:
        connection.execute("ALTER TABLE sojourn.audit DISABLE TRIGGER ALL")
        connection.execute("UPDATE sojourn.audit SET actor = 'eve' WHERE tenant = 'acme'")
    done = run("archive", "retention", code=5)
    assert "removed 1 rows of the audit trail" in done.err
    assert "audit trail of tenant 'acme' is damaged" in done.err
    assert run("audit", "verify").out.split()[1] == "sound"
    assert [each["action"] for each in trail(run)] == ["audit.prune", "archive.retention"]
