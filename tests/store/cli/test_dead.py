"""``dead``: what hooks were given up on is listed, shown, replayed and dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.store.cli.conftest import Run
from tests.waiting import eventually

from sojourn.dead import DeadLetters
from sojourn.events import Event
from sojourn.settings import Settings, load_settings
from sojourn_worker.burial import bury_event, bury_unreadable
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.replay import replay

HOOKS = {name: {"events": ["created"], "function": "tests.worker.hook_functions:record"} for name in ("mail", "sync")}
QUEUE = "rq:queue:sojourn-hooks"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give settings with two hooks, as the command line finds them."""
    monkeypatch.setenv("SOJOURN_HOOKS", json.dumps(HOOKS))
    return load_settings()


@pytest.fixture
def letters(settings: Settings, store: Any, client: Any) -> list[str]:
    """Give the ids of three dead letters, the oldest first: two of one hook and tenant, one of others."""
    link = RedisLink(settings)
    ids = []
    for hook, tenant in (("mail", "default"), ("mail", "default"), ("sync", "acme")):
        own = store.for_tenant(tenant)
        own.create(owner="ada")
        (event,) = own.peek_events(start="recent", limit=1).events
        _bury(link, settings, hook, event)
        ids.append(f"{hook}/{event.id}")
        second, micros = client.time()
        eventually(lambda: client.time() >= (second, micros + 1000))  # noqa: B023 - called at once
    link.close()
    return ids


def _bury(link: RedisLink, settings: Settings, hook: str, event: Event) -> None:
    bury_event(link, settings, hook, event, job="t", tries=3, reason="ValueError in f, line 1")


def ids(run: Run, *options: str) -> list[str]:
    """Return the ids that are listed."""
    return [each["id"] for each in run("dead", "list", "--json", *options).json["letters"]]


def test_nothing_is_dead(run: Run) -> None:
    """An empty list is no failure; an id that is not there is one; and what is no id is a mistake."""
    assert "no dead letters" in run("dead", "list").err
    assert run("dead", "list", "--json").json == {"letters": [], "cursor": None}
    missing = "mail/00-1750000000000-0"
    for command in ("show", "replay", "drop"):
        assert f"there is no dead letter {missing}" in run("dead", command, missing, code=1).err
        assert "is not a dead letter's id" in run("dead", command, "nonsense", code=2).err
    assert run("dead", "replay", "--all", "--json").json == {"enqueued": [], "done": [], "refused": {}}
    run("dead", "list", "--hook", "No Hook", code=2)


def test_listing(run: Run, letters: list[str]) -> None:
    """Newest first over all tenants; by hook, by tenant if the line names one, oldest first, in pages."""
    assert ids(run) == letters[::-1]
    assert ids(run, "--oldest") == letters
    assert ids(run, "--hook", "mail", "--oldest") == letters[:2]
    assert ids(run, "--tenant", "acme") == letters[2:]
    page = run("dead", "list", "--limit", "2", "--json").json
    assert ids(run, "--limit", "2", "--cursor", page["cursor"]) == letters[:1]
    assert "there are more: add --cursor" in run("dead", "list", "--limit", "2").err
    lines = run("dead", "list").out.splitlines()
    assert lines[0].split()[:3] == ["ID", "EVENT", "SESSION"]
    assert [line.split()[0] for line in lines[1:]] == letters[::-1]
    assert "acme/" in lines[1]
    assert "ValueError in f, line 1" in lines[1]
    run("dead", "list", "--cursor", "x", code=2)


def test_the_environment_s_tenant_hides_none(run: Run, letters: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead letters are the operator's; only the command line narrows them down."""
    monkeypatch.setenv("SOJOURN_TENANT", "acme")
    assert ids(run) == letters[::-1]


def test_showing(run: Run, letters: list[str]) -> None:
    """One with its event; another tenant's is not there where the line names one."""
    shown = run("dead", "show", letters[0], "--json").json
    assert (shown["id"], shown["hook"], shown["tries"]) == (letters[0], "mail", 3)
    assert shown["event"]["type"] == "created"
    told = run("dead", "show", letters[0]).out
    assert letters[0] in told
    assert '"type": "created"' in told
    run("dead", "show", letters[0], "--tenant", "acme", code=1)


def test_replaying(run: Run, letters: list[str], client: Any) -> None:
    """By id, by hook, and all; what is replayed is off the list and in the queue."""
    assert run("dead", "replay", letters[0]).out == "replayed 1\n"
    assert ids(run, "--oldest") == letters[1:]
    run("dead", "replay", letters[0], code=1)
    assert run("dead", "replay", letters[0], letters[1], "--json", code=1).json["enqueued"] == [letters[1]]
    assert client.llen(QUEUE) == 2
    assert run("dead", "replay", "--hook", "mail", "--json").json["enqueued"] == []
    assert run("dead", "replay", "--all", "--json").json["enqueued"] == letters[2:]
    assert ids(run) == []
    assert client.llen(QUEUE) == 3
    for options in ([], ["--all", "--hook", "mail"], [letters[0], "--all"]):
        run("dead", "replay", *options, code=2)


def test_what_cannot_be_replayed_stays(
    run: Run, letters: list[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that the settings do not name, and what is no event: told, and listed as before; the others go."""
    link = RedisLink(settings)
    bury_unreadable(link, settings, "sync", [{"no": "event"}], "t")
    link.close()
    monkeypatch.setenv("SOJOURN_HOOKS", json.dumps({"sync": HOOKS["sync"]}))
    ran = run("dead", "replay", "--all", code=2)
    assert ran.out == "replayed 1\n"
    assert ran.err.count("there is no such hook in the settings") == 2
    assert ran.err.count("its event cannot be read") == 1
    left = ids(run)
    assert sorted(left)[:2] == sorted(letters[:2])
    assert left[0].startswith("sync/unreadable-")
    assert run("dead", "show", left[0], "--json").json["event"] == '{"no": "event"}'
    assert "unreadable" in run("dead", "show", left[0]).out
    assert "unreadable" in run("dead", "list").out


def test_dropping(run: Run, letters: list[str], client: Any) -> None:
    """By id at once; more only with --yes. Nothing is enqueued."""
    assert run("dead", "drop", letters[0]).out == "dropped 1\n"
    run("dead", "drop", letters[0], code=1)
    for which in (["--all"], ["--hook", "mail"]):
        asked = run("dead", "drop", *which, code=2).err
        assert "cannot be brought back. Nobody can be asked here: add --yes" in asked
    assert run("dead", "drop", "--hook", "mail", "--yes", "--json").json == {"dropped": 1, "dry_run": False}
    assert run("dead", "drop", "--all", "--yes", "--tenant", "default").out == "dropped 0\n"
    assert run("dead", "drop", "--all", "--yes").out == "dropped 1\n"
    assert ids(run) == []
    assert not client.exists(QUEUE)


EVENT = {
    "id": "02-1-1", "type": "created", "tenant": "default", "session_id": "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77",
    "kind": "session", "version": 1, "at_ms": 1, "actor": "", "trace_id": "", "changes": {}, "before": None,
}  # fmt: skip
STREAM = "sojourn:{02}:/dead:sojourn.mail"


def written(client: Any, text: str | bytes) -> None:
    """Have other hands write a dead letter."""
    client.hincrby("sojourn:{02}:counts", "dead_letters:sojourn.mail", 1)
    client.xadd(STREAM, {"hook": "mail", "id": "02-1-1", "event": text, "tries": "1", "reason": "r", "at_ms": "1"})


@pytest.mark.parametrize(
    "text",
    [
        *(json.dumps(EVENT | odd) for odd in (
            {"changes": 5}, {"type": None}, {"tenant": [1]}, {"id": 5}, {"before": [1]}, {"version": "1"},
            {"changes": {"a": float("nan")}}, {"changes": {"a": float("-inf")}}, {"at_ms": "1"}, {"more": 1},
        )),
        json.dumps(EVENT).replace('"version": 1', '"version": 1e999'), "[" * 5000, b"\xff", "", "5",
    ],
    ids=lambda text: repr(text)[-30:],
)  # fmt: skip
def test_an_event_that_is_none(run: Run, settings: Settings, store: Any, client: Any, text: str | bytes) -> None:
    """It is listed, shown as the text that it is, not replayed, and dropped."""
    del settings
    store.count()
    written(client, text)
    assert ids(run) == ["mail/02-1-1"]
    assert ids(run, "--tenant", "default") == []
    assert "mail/02-1-1" in run("dead", "list").out
    assert isinstance(run("dead", "show", "mail/02-1-1", "--json").json["event"], str)
    run("dead", "show", "mail/02-1-1")
    assert "its event cannot be read" in run("dead", "replay", "--all", code=2).err
    assert run("dead", "drop", "--all", "--yes").out == "dropped 1\n"


@pytest.mark.parametrize("key", [STREAM, "sojourn:{02}:counts"])
def test_a_key_of_another_type_is_named(run: Run, store: Any, client: Any, key: str) -> None:
    """Where dead letters cannot be listed, it is said for which key."""
    store.count()
    written(client, json.dumps(EVENT))
    client.set(key, "x")
    assert f"the key {key} is not of the type that it should be" in run("dead", "list", code=4).err


def test_replaying_tells_how_far_it_is(settings: Settings, letters: list[str]) -> None:
    """For the bar: after each thousand, and at the end."""
    seen: list[int] = []
    with DeadLetters(settings) as there:
        assert sorted(replay(settings, there.each(), progress=seen.append).enqueued) == sorted(letters)
    assert seen == [3]
