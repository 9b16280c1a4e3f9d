"""Calls that bring each script to the largest that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from bench_server_world import GROUP, LARGE, LINES, Act, Case, World
from sojourn import TokenInvalid
from sojourn.archive.source import acknowledge
from sojourn.operations import expiry, quotas, strays
from sojourn.tenants import link

__all__ = ["CASES"]

_MOST_SWEPT: Final = 75


def _large_record(world: World) -> Act:
    world.store.set_tenant_limits(sessions=100_000, bytes=2**40)

    def act() -> None:
        made = world.store.create(ttl=3600, **LARGE)
        world.store.update(made.id, tags=[f"other-{n}" for n in range(64)], metadata=LARGE["metadata"])
        made = world.store.rotate_id(made.id)
        world.store.complete(made.id)

    return act


def _many_lines(world: World) -> Act:
    session_id = world.lines(9_000)

    def act() -> None:
        world.store.append(session_id, LINES, *["x" * 200] * 1000)
        world.store.entries(session_id, LINES)
        world.store.complete(session_id)

    return act


def _many_executions(world: World) -> Act:
    made = world.mcp.create(ttl=3600)
    executions = [{"tool": f"tool-{n % 200}", "duration": 0.1, "arguments": {"q": "redis"}} for n in range(1000)]
    return lambda: [world.mcp.mcp.record_tool_executions(made.id, executions) for _ in range(3)]


def _end_with_tokens(world: World) -> Act:
    first, second, third = world.sessions(3)
    for each in (first, second, third):
        world.tokens(each, 2_000)

    def act() -> None:
        world.store.tokens.list(first)
        world.store.complete(first)
        world.store.rotate_id(second)
        world.store.tokens.revoke_session(third)

    return act


def _revoke_large_family(world: World) -> Act:
    first, second = world.sessions(2)
    reused = world.used_tokens(first, 1_990)
    revoked = world.used_tokens(second, 1_990)

    def act() -> None:
        with suppress(TokenInvalid):
            world.store.tokens.refresh(reused)
        world.store.tokens.revoke(revoked)

    return act


def _crowded(world: World) -> Act:
    first, second = world.sessions(2)
    world.tokens(first, 2_000)
    world.used_tokens(second, 1_000)
    world.tokens(second, 996)
    return lambda: [world.store.tokens.issue(each) for each in (first, first, second)]


def _claim_most(world: World) -> Act:
    world.overdue(world.sessions(_MOST_SWEPT))
    return lambda: world.run(expiry.claim_due(world.context, world.keys.partition, _MOST_SWEPT, archived=False))


def _claim_with_tokens(world: World) -> Act:
    ids = world.sessions(10)
    for each in ids:
        world.tokens(each, 1_000)
    world.overdue(ids)

    def act() -> None:
        while world.run(expiry.claim_due(world.context, world.keys.partition, 100, archived=False)).more:
            pass

    return act


def _claim_one_with_tokens(world: World) -> Act:
    (session_id,) = world.sessions(1)
    world.tokens(session_id, 2_000)
    world.overdue([session_id])
    return lambda: world.run(expiry.claim_session(world.context, world.keys, session_id))


def _lose_with_tokens(world: World) -> Act:
    (session_id,) = world.sessions(1)
    world.tokens(session_id, 2_000)
    world.link.ask(("DEL", world.keys.session(session_id)))
    return lambda: world.run(strays.miss_session(world.keys, session_id))


def _purge_most(world: World) -> Act:
    ids = world.sessions(_MOST_SWEPT, tags=["one", "two", "three", "four"])
    for each in ids:
        world.store.append(each, LINES, "a line")
        world.store.complete(each)
        world.link.ask(("ZADD", world.keys.partition.removals, 1, world.keys.member(each)))
    return lambda: world.run(expiry.claim_due(world.context, world.keys.partition, _MOST_SWEPT, archived=False))


def _settle_most(world: World) -> Act:
    ids = world.sessions(50)
    for each in ids:
        world.store.complete(each)
        world.link.ask(("ZADD", world.keys.partition.removals, 1, world.keys.member(each)))
    states = world.states(ids)
    return lambda: world.run(expiry.settle_many(world.keys.partition, states))


def _acknowledge_most(world: World) -> Act:
    world.sessions(4_000)
    run_id, entries = world.entries(4_000)

    def act() -> None:
        world.run(acknowledge(world.keys.partition, GROUP, run_id, (1, datetime.now(UTC)), entries))
        while world.run(expiry.trim_events(world.keys.partition, 100)):
            pass

    return act


def _list_most(world: World) -> Act:
    store = world.store
    world.sessions(1_500)
    world.sessions(500, owner="grace", tags=["rare"])
    return lambda: (store.list(limit=1_000), store.count(owner="ada"), store.count(client_type="none", tag="one"))


def _place_most(world: World) -> Act:
    ids = world.sessions(quotas.PLACED_AT_ONCE)
    world.store.set_tenant_limits(sessions=10**6)
    world.link.ask(("DEL", world.keys.places, world.keys.live))
    return lambda: world.run(quotas.place(world.context, ids, done=True))


def _evict_most(world: World) -> Act:
    world.sessions(200)
    world.store.set_tenant_limits(sessions=100, policy="evict_lru")
    return lambda: world.sessions(1)


def _mark_most(world: World) -> Act:
    ids = world.sessions(strays.DEALT_AT_ONCE)
    return lambda: world.run(strays.mark_dirty(world.keys, ids))


def _comb_most(world: World) -> Act:
    ids = world.sessions(strays.DEALT_AT_ONCE)
    world.link.ask(("DEL", *(world.keys.session(each) for each in ids)))
    return lambda: world.run(
        strays._comb(world.keys, world.keys.index("owner", "ada"), ids, log=False)  # noqa: SLF001
    )


def _bring_back_most(world: World) -> Act:
    session_id = world.lines(10_000, tags=LARGE["tags"], metadata=LARGE["metadata"])
    return lambda: world.bring_back(session_id, {"lines": "sojourn:{40}:/staged:x:lines"})


def _move_most(world: World) -> Act:
    ids = world.sessions(link.AT_ONCE)
    return lambda: world.move(ids)


def _with_tokens(take: Callable[[World, list[str]], None]) -> Callable[[World], Act]:
    def prepare(world: World) -> Act:
        ids = world.sessions(2)
        for each in ids:
            world.tokens(each, 2_000)
        return lambda: take(world, ids)

    return prepare


def _erase_most(world: World) -> Act:
    ids = world.sessions(link.AT_ONCE)
    return lambda: world.erase(ids)


CASES: Final = (
    Case("a record of 64 tags and 60 KB", _large_record, of=("create_session", "update_session")),
    Case("1,000 entries onto 9,000", _many_lines, of=("append_entries", "read_log")),
    Case("1,000 executions of 200 tools", _many_executions, of=("record_executions",)),
    Case("2,000 tokens", _end_with_tokens, of=("list_tokens", "end_session", "rotate_id", "revoke_tokens")),
    Case("a family of 1,992 tokens", _revoke_large_family, of=("refresh_tokens", "revoke_token")),
    Case("a session that has all the tokens it may", _crowded, of=("issue_tokens",)),
    Case("a full sweep of claims", _claim_most, of=("claim_due",)),
    Case("10 claims of 1,000 tokens each", _claim_with_tokens),
    Case("a claim of 2,000 tokens", _claim_one_with_tokens, of=("claim_session",)),
    Case("a lost session of 2,000 tokens", _lose_with_tokens, of=("miss_session",)),
    Case("a full sweep of removals", _purge_most),
    Case("50 removals after the archive", _settle_most, of=("settle_sessions",)),
    Case("4,000 events", _acknowledge_most, of=("acknowledge_batch", "trim_events")),
    Case("a page of 1,000 of 2,000", _list_most, of=("list_sessions",)),
    Case("25 places", _place_most, of=("place_sessions",)),
    Case("50 evictions", _evict_most, of=("make_room",)),
    Case("200 marks", _mark_most, of=("mark_dirty",)),
    Case("200 strays", _comb_most, of=("comb_strays",)),
    Case("a log of 10,000 entries", _bring_back_most, of=("rehydrate_session", "restore_session")),
    Case("50 moves", _move_most, of=("move_sessions",)),
    Case("2 moves of 2,000 tokens each", _with_tokens(World.move)),
    Case("50 erased", _erase_most, of=("erase_tenant", "tell_erased")),
    Case("2 erased of 2,000 tokens each", _with_tokens(World.erase)),
)
