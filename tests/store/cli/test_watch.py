"""``sojourn watch``; what it follows, and how, is tested in tests/store/watching."""

from __future__ import annotations

from typing import Any

from tests.store.cli.conftest import Run


def test_the_command(run: Run, store: Any) -> None:
    """It prints a line for each event, with the tenant unless it is given; as JSON what `events` prints."""
    made = store.acting(actor="ada").create().id
    acme = store.for_tenant("acme")
    acme.complete(acme.create().id, reason="done")
    lines = run("watch", "--since", "1h", "--limit", "3").out.splitlines()
    assert [line.split()[1:3] for line in lines] == [["created", "default"], ["created", "acme"], ["ended", "acme"]]
    assert made in lines[0]
    assert "by ada" in lines[0]
    assert "status=pending->completed" in lines[2]
    shown = run("watch", "--since", "1h", "--limit", "1", "--tenant", "acme", "--type", "ended", "--json").json_lines
    assert [(each["type"], each["tenant"], each["changes"]["end_reason"]) for each in shown] == [
        ("ended", "acme", "done")
    ]
    for wrong in (["--type", "nope"], ["--session", "x"], ["--since", "soon"], ["--kind", "A"], ["--tenant", "a:b"]):
        assert run("watch", "--limit", "1", *wrong, code=2).out == ""
