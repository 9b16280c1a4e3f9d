"""Calls that bring each script to its typical size."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from bench_calls import FIELDS
from bench_server_world import GROUP, LINES, Act, Case, World
from sojourn.archive.source import acknowledge
from sojourn.operations import dead, dead_pages, expiry, quotas, strays
from sojourn.operations.admin import administered
from sojourn.operations.homes import allot

__all__ = ["CASES"]

_CALLS: Final = 50


def _everyday(world: World) -> Act:
    store, mcp, keys = world.store, world.mcp, world.keys

    def act() -> None:
        ids = [store.create(ttl=3600, **FIELDS).id for _ in range(_CALLS)]
        for step in (1, 2):
            for each in ids:
                store.update(each, owner=f"grace-{step}", region=f"us-{step}", step=step)
        _each(ids, store.get, store.touch, lambda each: store.set_ttl(each, 1800))
        _each(ids, lambda each: store.append(each, LINES, "a line"), lambda each: store.entries(each, LINES))
        pairs = [store.tokens.issue(each) for each in ids]
        _each(pairs, lambda pair: store.tokens.verify(pair.access))
        pairs = [store.tokens.refresh(str(pair.refresh)) for pair in pairs]
        _each(ids, store.tokens.list)
        _each(pairs, lambda pair: store.tokens.revoke(pair.access))
        _each(ids, store.tokens.issue, store.tokens.revoke_session)
        _each(ids, lambda _: store.list(owner="grace-2", limit=20), lambda _: store.count())
        ids = [store.rotate_id(each).id for each in ids]
        _each(ids, store.complete)
        served = [mcp.create(ttl=3600).id for _ in range(_CALLS)]
        _each(served, lambda each: mcp.mcp.record_tool_execution(each, tool="search", duration=0.1))
        counted = [world.counting.create(ttl=3600).id for _ in range(_CALLS)]
        _each(counted, lambda each: world.counting.increment(each, hits=3, misses=3))
        _each(ids, lambda _: world.run(administered(world.context, "bench.run")))
        _each(ids, lambda _: world.run(expiry.trim_events(keys.partition, 100)))
        store.set_tenant_limits(sessions=100_000, operations="1000000/s:1000000")
        _each(served, mcp.get)
        world.run(quotas.begin(world.context, world.settings.tenant_limits))

    return act


def _each(items: list[Any], *calls: Callable[[Any], Any]) -> None:
    """Make one call for all of them, and then the next: Redis is then measured at one script for a while."""
    for call in calls:
        for item in items:
            call(item)


def _housekeeping(world: World) -> Act:
    ids = world.sessions(200)
    world.overdue(ids[:60])
    gone, partition, context = ids[60:70], world.keys.partition, world.context
    run_id, entries = world.entries(100)

    def act() -> None:
        for each in ids[:20]:
            world.run(expiry.claim_session(context, world.keys, each))
        for _ in range(4):
            world.run(expiry.claim_due(context, partition, 10, archived=False))
        world.run(expiry.settle_many(partition, world.states(ids[70:100])))
        world.run(acknowledge(partition, GROUP, run_id, (1, datetime.now(UTC)), entries))
        world.run(strays.mark_dirty(world.keys, ids[70:100]))
        world.link.ask(("DEL", *(world.keys.session(each) for each in gone)))
        for each in gone:
            world.run(strays.miss_session(world.keys, each))
        world.run(strays._comb(world.keys, world.keys.index("owner", "ada"), gone, log=False))  # noqa: SLF001
        place = dead.Place(partition, "mail", "mail")
        world.run(dead.bury(place, "1-1-1", "{}", job="j", tries=1, reason="x", keep_ms=1000))
        letters, _ = world.run(dead_pages._next([place], None, newest_first=True, until_ms=None))  # noqa: SLF001
        world.run(dead.revive(letters[0]))
        world.reseal(ids[100])
        world.bring_back(ids[101], {})
        world.run(allot("other"))
        world.store.set_tenant_limits(sessions=120, policy="evict_lru")
        world.sessions(5)
        world.move(ids[110:120])
        world.erase(ids[120:140])

    return act


CASES: Final = (
    Case("calls", _everyday, is_largest=False),
    Case("housekeeping", _housekeeping, is_largest=False),
)
