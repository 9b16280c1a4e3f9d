"""How often a call goes to Redis and back: once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.store.examples import JobSession

CALLS: dict[str, Callable[[Any, str], Any]] = {
    "create": lambda store, _: store.create(limit=1),
    "get": lambda store, id_: store.get(id_),
    "update": lambda store, id_: store.update(id_, limit=1),
    "update by version": lambda store, id_: store.update(id_, version=1, limit=1),
    "touch": lambda store, id_: store.touch(id_),
    "set_ttl": lambda store, id_: store.set_ttl(id_, 5),
    "persist": lambda store, id_: store.persist(id_),
    "increment": lambda store, id_: store.increment(id_, attempts=1),
    "append": lambda store, id_: store.append(id_, JobSession.lines, "x", "y"),
    "entries": lambda store, id_: store.entries(id_, JobSession.lines),
    "complete": lambda store, id_: store.complete(id_),
    "fail": lambda store, id_: store.fail(id_),
    "terminate": lambda store, id_: store.terminate(id_),
    "delete": lambda store, id_: store.delete(id_),
    "issue": lambda store, id_: store.tokens.issue(id_),
    "revoke_session": lambda store, id_: store.tokens.revoke_session(id_),
    "list of tokens": lambda store, id_: store.tokens.list(id_),
    "create_many": lambda store, _: store.create_many([{}] * 15),
    "get_many": lambda store, id_: store.get_many([id_] * 15),
    "update_many": lambda store, id_: store.update_many({id_: {"limit": 1}}),
    "list": lambda store, _: store.list(),
    "count": lambda store, _: store.count(),
}


def reads(raw: Any) -> int:
    """Return how often Redis has read from any client."""
    return int(raw.info("stats")["total_reads_processed"])


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_one_round_trip(open_store: StoreOpener, raw: Any, name: str, sliding: bool) -> None:
    """Redis reads once from a store that is warm; of a batch, as much of it as goes out in one write."""
    store = open_store(JobSession, sliding=sliding)
    CALLS[name](store, store.create().id)
    made = store.create()
    before = reads(raw)
    CALLS[name](store, made.id)
    assert reads(raw) - before == 2  # the call, and the question itself


@pytest.mark.beyond_one_tenant
def test_first_call_checks_the_layout(open_store: StoreOpener, raw: Any) -> None:
    """A store asks once whether Redis is laid out as it expects; its views do not ask again."""
    store = open_store(JobSession)
    store.create()
    assert raw.hgetall("sojourn:meta") == {"layout": "1", "partitions": "64"}
    raw.delete("sojourn:meta")
    store.for_tenant("other").acting(actor="ada").create()
    assert not raw.exists("sojourn:meta")
    assert raw.smembers("sojourn:tenants") == {"default", "other"}
