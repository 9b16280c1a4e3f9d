"""Calls that bring each script to its typical size, and to the largest that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import SecretStr

from bench_calls import FIELDS
from bench_tenancy import SecretSession
from sojourn import Counter, Log, McpSession, Session, SessionStore, TokenInvalid
from sojourn.archive.source import acknowledge
from sojourn.events import ARCHIVE_GROUP
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations import dead, expiry, quotas, revival, sealed, strays, tenancy
from sojourn.operations.admin import administered
from sojourn.operations.core import Operation
from sojourn.operations.homes import allot
from sojourn.secrets import new_key
from sojourn.settings import Settings
from sojourn.tenants import link

__all__ = ["CASES", "GROUP", "LARGE", "LINES", "MOST_SWEPT", "Act", "Case", "World", "prepared"]

LINES: Final[Log[str]] = Log(str, name="lines")
LARGE: Final = {**FIELDS, "tags": [f"tag-{n}" for n in range(64)], "metadata": {"text": "m" * 60_000}}
GROUP: Final = ARCHIVE_GROUP
MOST_SWEPT: Final = 75
CALLS: Final = 50


class Counting(Session, kind="counting"):
    """A session with counters."""

    hits: Annotated[int, Counter()] = 0
    misses: Annotated[int, Counter()] = 0


class World:
    """A store for each model, and a way to send operations that no store has.

    Args:
        url: Redis.
        stack: closes what was opened.
    """

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.settings = Settings(redis_url=url, secret_keys=(SecretStr(new_key()),))
        self.store = stack.enter_context(SessionStore(model=SecretSession, settings=self.settings, tenant="acme"))
        self.mcp = stack.enter_context(SessionStore(model=McpSession, settings=self.settings, tenant="acme"))
        self.counting = stack.enter_context(SessionStore(model=Counting, settings=self.settings, tenant="acme"))
        self.link = stack.enter_context(link.Link(self.settings))
        self.link.open()
        self.keys = self.link.homes.of("acme")
        self.context = self.settings.context(self.settings.load_models(SecretSession)).of(self.keys)

    def run(self, operation: Operation[Any]) -> Any:
        """Send an operation."""
        return self.link.run(operation)

    def sessions(self, count: int, **fields: Any) -> list[str]:
        """Ids of new ones."""
        return [
            each.id
            for start in range(0, count, 500)
            for each in self.store.create_many([{**FIELDS, **fields}] * min(500, count - start), ttl=3600)
        ]

    def tokens(self, session_id: str, count: int) -> str:
        """Give a session so many tokens; a refresh token of the first pair."""
        pairs = [self.store.tokens.issue(session_id) for _ in range(count // 2)]
        return str(pairs[0].refresh)

    def used_tokens(self, session_id: str, count: int) -> str:
        """Refresh a pair so often; the first refresh token."""
        first = token = str(self.store.tokens.issue(session_id).refresh)
        for _ in range(count):
            token = str(self.store.tokens.refresh(token).refresh)
        return first

    def overdue(self, ids: list[str]) -> list[str]:
        """Have sessions be past their deadline."""
        for each in ids:
            self.link.ask(
                ("HSET", self.keys.session(each), "expires_at_ms", 1),
                ("ZADD", self.keys.partition.deadlines, 1, self.keys.member(each)),
            )
        return ids

    def states(self, ids: list[str]) -> list[expiry.Archived]:
        """Sessions, as if the archive had them as they are."""
        found = self.link.ask(*(("HMGET", self.keys.session(each), "version", "updated_at_ms") for each in ids))
        return [
            expiry.Archived(self.keys, each, version, updated, {})
            for each, (version, updated) in zip(ids, found, strict=True)
        ]

    def lines(self, count: int, **fields: Any) -> str:
        """A session with a log of so many lines."""
        (session_id,) = self.sessions(1, **fields)
        for start in range(0, count, 1000):
            self.store.append(session_id, LINES, *["x" * 200] * min(1000, count - start))
        return session_id


Act = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One call, or some."""

    name: str
    prepare: Callable[[World], Act]
    """Does all that comes before; what it returns is measured."""
    is_largest: bool = True
    of: tuple[str, ...] = ()
    """The scripts that it is the largest case of."""


@contextmanager
def prepared(case: Case, url: str) -> Iterator[Act]:
    """The case's call, ready to be made in an empty Redis."""
    with ExitStack() as stack:
        yield case.prepare(World(url, stack))


def _everyday(world: World) -> Act:
    store, mcp, keys = world.store, world.mcp, world.keys

    def act() -> None:
        ids = [store.create(ttl=3600, **FIELDS).id for _ in range(CALLS)]
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
        served = [mcp.create(ttl=3600).id for _ in range(CALLS)]
        _each(served, lambda each: mcp.mcp.record_tool_execution(each, tool="search", duration=0.1))
        counted = [world.counting.create(ttl=3600).id for _ in range(CALLS)]
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


def _entries(world: World, count: int) -> tuple[str, list[str]]:
    """Let the archive's group take events; the run of the server, and their ids."""
    events = world.keys.partition.events
    world.link.ask(("XGROUP", "CREATE", events, GROUP, "0"))
    (taken,) = world.link.ask(("XREADGROUP", "GROUP", GROUP, "x", "COUNT", count, "STREAMS", events, ">"))
    (info,) = world.link.ask(("INFO", "server"))
    run_id = next(line[7:] for line in str(info).splitlines() if line.startswith("run_id:"))
    return run_id, [entry for entry, _ in taken[0][1]]


def _housekeeping(world: World) -> Act:
    ids = world.sessions(200)
    world.overdue(ids[:60])
    gone, partition, context = ids[60:70], world.keys.partition, world.context
    run_id, entries = _entries(world, 100)

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
        letters, _ = world.run(dead._next([place], None, newest_first=True, until_ms=None))  # noqa: SLF001
        world.run(dead.revive(letters[0]))
        _reseal(world, ids[100])
        _bring_back(world, ids[101], {})
        world.run(allot("other"))
        world.store.set_tenant_limits(sessions=120, policy="evict_lru")
        world.sessions(5)
        _move(world, ids[110:120])
        _erase(world, ids[120:140])

    return act


def _reseal(world: World, session_id: str) -> None:
    """Replace a text in a record by itself."""
    (text,) = world.link.ask(("HGET", world.keys.session(session_id), "detail"))
    world.run(sealed.replace_texts((world.keys, session_id), {"detail": (text, text)}))


def _bring_back(world: World, session_id: str, staged: dict[str, str]) -> None:
    """Rehydrate a session from what Redis holds, and then restore it; each finds its logs staged."""
    keys, context = world.keys, world.context
    texts = world.run(sealed.read_records((keys, session_id)))
    read_at = world.run(revival.guard([keys.partition]))
    for number in range(2):
        for log, key in staged.items():
            world.link.ask(("COPY", keys.log(session_id, log), f"{key}:{number}", "REPLACE"))
    world.store.delete(session_id)
    world.link.ask(
        ("ZREM", keys.partition.dirty, keys.member(session_id)),
        ("ZADD", keys.partition.removals, 0, keys.member(session_id)),
    )
    world.run(expiry.claim_due(context, keys.partition, 1, archived=False))
    world.link.ask(("ZREM", keys.partition.removed, keys.member(session_id)))
    own = [{log: f"{key}:{number}" for log, key in staged.items()} for number in range(2)]
    world.run(revival.rehydrate(context, keys, session_id, texts, own[0], read_at))
    world.link.ask(("DEL", keys.session(session_id)))
    held = {name: texts[name] for name in ("version", "updated_at_ms")}
    world.run(
        revival.restore(
            context, SecretSession, session_id, "operation", texts, own[1], restored=1, held=held, before={},
            ttl_ms=3_600_000, max_lifetime_ms=None,
        )
    )  # fmt: skip


def _move(world: World, ids: list[str]) -> None:
    new = TenantKeys("acme", PartitionKeys(100))
    world.link.ask(("HSET", world.keys.limits, "moved", 100))
    world.run(tenancy.move_sessions(world.keys, new, ids))
    world.link.ask(("HDEL", world.keys.limits, "moved"))


def _erase(world: World, ids: list[str]) -> None:
    world.link.ask(("HSET", world.keys.limits, "closed", "now"))
    world.run(tenancy.erase(world.keys, "session", ids))
    world.run(tenancy.tell_erased(world.context, world.keys.limits, world.keys.partition, "{}"))
    world.link.ask(("HDEL", world.keys.limits, "closed", "told"))


# The largest


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
    world.overdue(world.sessions(MOST_SWEPT))
    return lambda: world.run(expiry.claim_due(world.context, world.keys.partition, MOST_SWEPT, archived=False))


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
    ids = world.sessions(MOST_SWEPT, tags=["one", "two", "three", "four"])
    for each in ids:
        world.store.append(each, LINES, "a line")
        world.store.complete(each)
        world.link.ask(("ZADD", world.keys.partition.removals, 1, world.keys.member(each)))
    return lambda: world.run(expiry.claim_due(world.context, world.keys.partition, MOST_SWEPT, archived=False))


def _settle_most(world: World) -> Act:
    ids = world.sessions(50)
    for each in ids:
        world.store.complete(each)
        world.link.ask(("ZADD", world.keys.partition.removals, 1, world.keys.member(each)))
    states = world.states(ids)
    return lambda: world.run(expiry.settle_many(world.keys.partition, states))


def _acknowledge_most(world: World) -> Act:
    world.sessions(4_000)
    run_id, entries = _entries(world, 4_000)

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
    return lambda: _bring_back(world, session_id, {"lines": "sojourn:{40}:/staged:x:lines"})


def _move_most(world: World) -> Act:
    ids = world.sessions(link.AT_ONCE)
    return lambda: _move(world, ids)


def _with_tokens(take: Callable[[World, list[str]], None]) -> Callable[[World], Act]:
    def prepare(world: World) -> Act:
        ids = world.sessions(2)
        for each in ids:
            world.tokens(each, 2_000)
        return lambda: take(world, ids)

    return prepare


def _erase_most(world: World) -> Act:
    ids = world.sessions(link.AT_ONCE)
    return lambda: _erase(world, ids)


CASES: Final = (
    Case("calls", _everyday, is_largest=False),
    Case("housekeeping", _housekeeping, is_largest=False),
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
    Case("2 moves of 2,000 tokens each", _with_tokens(_move)),
    Case("50 erased", _erase_most, of=("erase_tenant", "tell_erased")),
    Case("2 erased of 2,000 tokens each", _with_tokens(_erase)),
)
