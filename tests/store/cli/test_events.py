"""``events``: looking takes nothing from anybody; a group takes each event once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.cli.conftest import Run


def neighbours(store: Any) -> list[str]:
    """Return tenants of one partition."""
    from sojourn.keys import partition_for

    names = [f"t{number}" for number in range(200)]
    home = partition_for(names[0], "", store.settings.partitions)
    return [name for name in names if partition_for(name, "", store.settings.partitions) == home][:2]


def test_looking_shows_the_last_events_oldest_first(run: Run, store: Any) -> None:
    """Whoever looks twice sees the same."""
    made = store.create(owner="ada").id
    store.acting(actor="eve").update(made, metadata={"n": "x" * 100})
    store.complete(made)
    shown = run("events").out.splitlines()
    assert [line.split()[1:3] for line in shown] == [["created", made], ["updated", made], ["ended", made]]
    assert "by eve" in shown[1]
    assert len(shown[1]) < 250
    assert run("events").out.splitlines() == shown
    assert [each["type"] for each in run("events", "--json", "--limit", "2").json_lines] == ["updated", "ended"]
    oldest = run("events", "--json", "--limit", "2", "--from", "oldest").json_lines
    assert [(each["type"], each["session_id"], each["version"]) for each in oldest] == [
        ("created", made, 1), ("updated", made, 2),
    ]  # fmt: skip
    assert run("events", "--from", "new").out == ""


def test_looking_reaches_beyond_one_page(run: Run, store: Any) -> None:
    """Other tenants' events in the same stream do not hide one's own, and are not shown."""
    mine, theirs = neighbours(store)
    made = store.for_tenant(mine).create().id
    busy = store.for_tenant(theirs)
    busy.create_many([{} for _ in range(600)])
    for options in ([], ["--from", "oldest"]):
        shown = run("events", "--tenant", mine, "--json", *options).json_lines
        assert [each["session_id"] for each in shown] == [made]
    assert len(run("events", "--tenant", theirs, "--json", "--limit", "550").json_lines) == 550
    assert run("events", "--group", "g", "--from", "oldest", "--tenant", mine, "--json").json["session_id"] == made


def test_a_group_takes_each_event_once(run: Run, store: Any) -> None:
    """A limit takes no more than it shows, so that the next caller goes on right after."""
    made = [store.create().id for _ in range(5)]
    group = ["events", "--group", "g", "--json"]
    first = run(*group, "--from", "oldest", "--limit", "2").json_lines
    second = run(*group, "--limit", "2").json_lines
    third = run(*group).json_lines
    assert [each["session_id"] for each in (*first, *second, *third)] == made
    assert run(*group).out == ""


def test_a_new_group_begins_at_new_events(run: Run, store: Any) -> None:
    """Unless asked for the oldest."""
    store.create()
    assert run("events", "--group", "g").out == ""
    made = store.create().id
    assert run("events", "--group", "g", "--json").json["session_id"] == made


def test_a_group_takes_over_from_the_dead(run: Run, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another consumer took and never acknowledged comes again."""
    monkeypatch.setenv("SOJOURN_TAKEOVER_AFTER", "0.01")
    made = store.create().id
    taken = store.events("g", consumer="dead", start="oldest")
    assert next(taken).session_id == made
    taken.close()
    import time

    time.sleep(0.05)
    assert run("events", "--group", "g", "--json").json["session_id"] == made


def test_forgetting_a_group(run: Run, client: Any, store: Any) -> None:
    """The group goes; a second time there is none."""
    store.create()
    run("events", "--group", "g")
    stream = client.keys("*:events")[0]
    assert client.xinfo_groups(stream)
    assert run("events", "--group", "g", "--forget", "--dry-run", "--json").json["found"]
    assert "add --yes" in run("events", "--group", "g", "--forget", code=2).err
    assert client.xinfo_groups(stream)
    assert run("events", "--group", "g", "--forget", "--yes").err == ""
    assert not client.xinfo_groups(stream)
    assert "no group" in run("events", "--group", "g", "--forget", "--yes").err
    assert run("events", "--group", "g", "--forget", "--yes", "--json").json["found"] is False


@pytest.mark.parametrize(
    "options", [["--forget"], ["--forget", "--group", "g", "--follow"], ["--dry-run"], ["--group", "a b"], ["--follow"]]
)
def test_refused(run: Run, options: list[str]) -> None:
    """What makes no sense is a usage error."""
    assert run("events", *options, code=2).out == ""
