"""``get`` and ``list``, and what of stored text reaches a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.store.cli.conftest import Run

UNKNOWN_ID = "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"


def key_of(client: Any, session_id: str) -> str:
    """Return the key of a session's hash."""
    found: list[str] = client.keys(f"*:session:{session_id}")
    return found[0]


def test_get_shows_every_field(run: Run, store: Any) -> None:
    """The table has a line for each field, with times in words and exact."""
    session = store.create(owner="ada", ttl=1800)
    lines = dict(line.split(maxsplit=1) for line in run("get", session.id).out.splitlines())
    assert set(lines) == set(type(session).model_fields)
    assert lines["owner"] == "ada"
    assert lines["expires_at"] == f"in 30 min ({session.expires_at:%Y-%m-%d %H:%M:%S}Z)"


def test_unknown_kinds_are_shown_in_full(run: Run, store: Any, client: Any) -> None:
    """A session whose model is not known here shows its own fields as text, and can still be changed and ended."""
    made = store.create().id
    client.hset(key_of(client, made), mapping={"kind": "zebra", "stripes": "17", "born_ms": "5"})
    shown = run("get", made).out
    assert "stripes       17" in shown
    assert run("get", made, "--json").json["born_ms"] == "5"
    assert run("list", "--json").json["sessions"][0]["stripes"] == "17"
    run("update", made, "--set", "owner=ada")
    run("append", made, "lines", '{"a": 1}', "text")
    assert run("get", made, "--entries", "lines", "--json").json_lines == [{"a": 1}, "text"]
    run("touch", made)
    assert run("end", made, "--json").json["stripes"] == "17"


EVIL = "\x1b[31mred\n\r\x07\x9b2J\u202egnp\u2028\x7f"


def test_stored_text_cannot_steer_the_terminal(run: Run, store: Any, client: Any) -> None:
    """Control characters and direction marks are told as escapes, in tables and in JSON."""
    made = store.create(metadata={"evil": EVIL}, client_type=EVIL, ttl=None).id
    client.hset(key_of(client, made), "owner", EVIL)
    store.complete(made, reason=EVIL)
    for command in (["get", made], ["list"], ["events"]):
        for options in ([], ["--json"]):
            out = run(*command, *options).out
            assert not set(EVIL) & set(out) - set("[31mred2Jgnp\n"), command
    assert run("get", made, "--json").json["metadata"] == {"evil": EVIL}
    assert "\\x1b[31mred\\n\\r\\x07\\x9b2J\\u202egnp\\u2028\\x7f" in run("list").out
    assert len(run("list").out.splitlines()) == 2


def test_text_is_no_markup(run: Run, store: Any) -> None:
    """What looks like a style of the table library is text."""
    made = store.create(owner="[red]x[/red]:smile:").id
    assert "[red]x[/red]:smile:" in run("get", made).out
    assert "[red]x[/red]:smile:" in run("list").out


def test_piped_tables_cut_nothing_off(run: Run, store: Any) -> None:
    """What is not a terminal gets everything on one line each, without colours or trailing blanks."""
    made = store.create(owner="o" * 200, tags=["t" * 200]).id
    header, line = run("list").out.splitlines()
    assert header.split() == ["ID", "KIND", "STATUS", "OWNER", "TAGS", "CREATED", "EXPIRES"]
    assert line.split()[:5] == [made, "session", "pending", "o" * 200, "t" * 200]
    assert line == line.rstrip()
    assert "\x1b" not in line


def test_list_filters(run: Run, store: Any) -> None:
    """Each filter reaches the library."""
    ada = store.create(owner="ada", client_type="ide", tags=["x"]).id
    bob = store.create(owner="bob").id
    store.fail(bob)
    for options, wanted in (
        (["--owner", "ada"], [ada]),
        (["--client-type", "ide"], [ada]),
        (["--tag", "x"], [ada]),
        (["--status", "failed"], [bob]),
        (["--status", "failed", "--status", "pending"], {bob, ada}),
        (["--kind", "documentation"], []),
        (["--created-after", "1h"], {bob, ada}),
        (["--created-before", "1h"], []),
        (["--created-before", "2020-01-01T00:00:00Z"], []),
        (["--created-after", "2020-01-01T00:00:00+02:00"], {bob, ada}),
        (["--where", "owner=ada"], [ada]),
        (["--tenant", "other"], []),
    ):
        assert set(run("list", "--ids", *options).out.split()) == set(wanted), options


def test_pages(run: Run, store: Any) -> None:
    """A cursor leads to the next page, and --all to the last."""
    sessions = [store.create() for _ in range(5)]
    made = [each.id for each in sorted(sessions, key=lambda each: (each.created_at, each.id), reverse=True)]
    first = run("list", "--limit", "2", "--json").json
    assert [each["id"] for each in first["sessions"]] == made[:2]
    second = run("list", "--limit", "3", "--cursor", first["cursor"], "--json").json
    assert [each["id"] for each in second["sessions"]] == made[2:]
    assert run("list", "--all", "--json").json["cursor"] is None
    assert run("list", "--all", "--ids").out.split() == made
    piped = run("list", "--limit", "2", "--ids")
    assert piped.out.split() == made[:2]
    assert first["cursor"] in piped.err


def test_nothing_found_leaves_stdout_empty(run: Run) -> None:
    """An empty list says so on stderr only."""
    assert run("list").out == ""
    assert run("list").err == "no sessions\n"
    assert run("list", "--json").json == {"sessions": [], "cursor": None}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--all", "--limit", "3"], "exclude"),
        (["--ids", "--json"], "exclude"),
        (["--limit", "0"], "range"),
        (["--limit", "100000"], "page"),
        (["--cursor", "nonsense"], "cursor"),
        (["--status", "asleep"], "asleep"),
        (["--created-after", "2026-01-31T12:00"], "time zone"),
        (["--created-after", "yesterday"], "not a time"),
        (["--where", "client_type=x"], "not an indexed field"),
        (["--kind", "No"], "kind"),
    ],
)
def test_refused_lists_are_usage_errors(run: Run, options: list[str], told: str) -> None:
    """What cannot be listed tells why."""
    refused = run("list", *options, code=2)
    assert told in refused.err
    assert refused.err.count("\n") == 1


def test_global_options_stand_anywhere(run: Run, any_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the command and after it, the later one counting."""
    monkeypatch.setenv("SOJOURN_REDIS_URL", "redis://127.0.0.1:1/0")
    made = json.loads(run("--redis-url", any_redis_url, "--json", "create", "--tenant", "acme").out)
    assert made["tenant"] == "acme"
    where = ["--redis-url", any_redis_url]
    assert run("--tenant", "acme", "get", made["id"], *where, "--json").json["id"] == made["id"]
    run("--tenant", "acme", "get", made["id"], *where, "--tenant", "other", code=1)
    assert run("--json", *where, "--tenant=acme", "list").json["sessions"][0]["id"] == made["id"]
