"""``sojourn cleanup``: what is due, what nobody uses, and what it says of both."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from tests.drivers import snapshot
from tests.store.cleanup.test_due import let_pass
from tests.store.cleanup.test_inactive import aged
from tests.store.cli.conftest import Run
from tests.store.examples import keys_of

from sojourn import load_settings
from sojourn.archive import archive_once
from sojourn.cli.schemas import adapter


@pytest.fixture
def raw(any_redis_url: str) -> Any:
    """Give a plain client."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def test_what_is_due(run: Run, store: Any, raw: Any) -> None:
    """It is claimed, without a question, and the audit hears of it."""
    let_pass(store, raw, [each.id for each in store.create_many([{}] * 5)])
    found = run("cleanup", "--due", "--json").json
    adapter("Cleaned").validate_python(found)
    assert (found["tenant"], found["expired"], found["ended"], found["dry_run"]) == ("default", 5, 0, False)
    told = [each for each in store.peek_events().events if each.type == "administered"]
    assert [dict(each.changes) for each in told] == [
        {"action": "session.cleanup", "due": True, "expired": 5, "removed": found["removed"]}
    ]
    assert "expired" in run("cleanup", "--due").out


def test_a_dry_run(run: Run, store: Any, raw: Any) -> None:
    """It tells what would end, and changes nothing."""
    old = aged(store, raw, 10)
    aged(store, raw, 10, used=1)
    before = snapshot(raw)
    found = run("cleanup", "--inactive", "7d", "--dry-run", "--json").json
    adapter("Cleaned").validate_python(found)
    assert (found["ended"], found["skipped"], found["ids"], found["dry_run"]) == (1, 1, [old], True)
    assert snapshot(raw) == before
    assert "nothing is changed" in run("cleanup", "--inactive", "7d", "--dry-run").err


def test_a_dry_run_of_what_is_due(run: Run, store: Any, raw: Any) -> None:
    """It counts what then happens, of this tenant alone, and changes nothing; as many as --limit says."""
    keys = keys_of(store)
    ended, due = ([each.id for each in store.create_many([{}] * count)] for count in (3, 5))
    for each in ended:
        raw.zadd(keys.partition.removals, {keys.member(store.complete(each).id): 1})
    let_pass(store, raw, due)
    for key in (keys.partition.deadlines, keys.partition.removals):
        raw.zadd(key, {f"other/{due[0]}": 1})
    before = snapshot(raw)
    found = run("cleanup", "--due", "--dry-run", "--json").json
    adapter("Cleaned").validate_python(found)
    assert (found["expired"], found["removed"], found["more"], found["dry_run"]) == (5, 3, False, True)
    some = run("cleanup", "--due", "--limit", "4", "--inactive", "7d", "--dry-run", "--json").json
    assert (some["expired"], some["removed"], some["more"]) == (4, 3, True)
    assert snapshot(raw) == before
    done = run("cleanup", "--due", "--json").json
    assert (done["expired"], done["removed"], done["dry_run"]) == (5, 3, False)
    assert run("cleanup", "--due", "--dry-run", "--json").json["expired"] == 0


def test_a_dry_run_where_the_archive_waits(run: Run, store: Any, raw: Any, archive_url: str) -> None:
    """What it has not got yet stays, and is not counted; once it has it, what is foretold is what is done."""
    keys, ended = keys_of(store), store.complete(store.create().id)
    raw.zadd(keys.partition.removals, {keys.member(ended.id): 1})
    assert run("cleanup", "--due", "--dry-run", "--json").json["removed"] == 0
    archive_once(load_settings())
    raw.zadd(keys.partition.removals, {keys.member(ended.id): 1})
    foretold = run("cleanup", "--due", "--dry-run", "--json").json["removed"]
    assert run("cleanup", "--due", "--json").json["removed"] == foretold == 1
    assert archive_url


def test_what_is_inactive(run: Run, store: Any, raw: Any) -> None:
    """It ends, for the reason that is given, if --yes says so."""
    old = aged(store, raw, 10)
    asked = run("cleanup", "--inactive", "7d", code=2).err
    assert "End 1 session of tenant 'default' that nobody used for 7d? " in asked
    assert "--yes" in asked
    assert store.get(old).is_live
    found = run("cleanup", "--due", "--inactive", "7d", "--reason", "spring", "--yes", "--json").json
    assert (found["ended"], found["ids"]) == (1, [old])
    assert store.get(old).end_reason == "spring"


def test_what_cannot_end(run: Run, store: Any, raw: Any) -> None:
    """It is named on stderr, and the exit code tells; the others end."""
    bad, good = aged(store, raw, 10), aged(store, raw, 10)
    raw.hset(keys_of(store).session(bad), "version", "x")
    ran = run("cleanup", "--inactive", "7d", "--yes", "--json", code=5)
    assert (ran.json["failed"], ran.json["ids"]) == (1, [good])
    assert json.loads(ran.err)["error"]["session"] == bad


@pytest.mark.parametrize(
    "args",
    [(), ("--dry-run",), ("--inactive", "x"), ("--due", "--limit", "0"), ("--inactive", "7d", "--status", "x")],
)
def test_misuse(run: Run, args: tuple[str, ...]) -> None:
    """It is told as such."""
    run("cleanup", *args, code=2)
