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


def test_what_is_inactive(run: Run, store: Any, raw: Any) -> None:
    """It ends, for the reason that is given, if --yes says so."""
    old = aged(store, raw, 10)
    assert "--yes" in run("cleanup", "--inactive", "7d", code=2).err
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
    [(), ("--due", "--dry-run"), ("--inactive", "x"), ("--due", "--limit", "0"), ("--inactive", "7d", "--status", "x")],
)
def test_misuse(run: Run, args: tuple[str, ...]) -> None:
    """It is told as such."""
    run("cleanup", *args, code=2)
