"""How many commands each script issues where it is called most, so that none comes to them unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
import redis
from tests.drivers import StoreOpener

from sojourn import Counter, Indexed, Log, McpSession, Session
from sojourn.operations import expiry
from sojourn.operations.core import Operation
from sojourn.operations.expiry import Archived

LINES: Log[str] = Log(str, name="lines")
FIELDS: dict[str, Any] = {"owner": "ada", "client_type": "web", "tags": ["one", "two"], "region": "eu"}
TRIES = 8
_OWN = {"config|resetstat", "config", "evalsha", "info"}


class Counted(Session, kind="counted"):
    """A session with an indexed field, a counter, and a plain field."""

    region: Annotated[str, Indexed()] = "eu"
    hits: Annotated[int, Counter()] = 0
    step: int = 0


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def open_store(redis_url: str) -> Iterator[StoreOpener]:
    """Give a function that opens stores on an empty Redis."""
    with StoreOpener("sync", redis_url) as opener:
        yield opener


def issued(raw: Any, call: Callable[[], Any]) -> str:
    """The commands that a call brings about, as in the table; of several tries what comes most often.

    Each 16th call, by the clock, does what only has to be done now and then.
    """
    found = []
    for _ in range(TRIES):
        raw.config_resetstat()
        call()
        stats = raw.info("commandstats")
        found.append(told({name[8:]: each["calls"] for name, each in stats.items() if name[8:] not in _OWN}))
    return max(found, key=found.count)


def told(commands: dict[str, int]) -> str:
    """As in the table: each name, and how often if not once."""
    return " ".join(name if count == 1 else f"{name}*{count}" for name, count in sorted(commands.items()))


TABLE = {
    "create": "exists hgetall hincrby hset pexpireat sadd set time xadd zadd*8 zrangebyscore*2 zscore",
    "update": "hgetall*2 hset time xadd zadd*4 zrem*2 zscore",
    "update of what is no index": "hgetall*2 hset time xadd zadd*2 zscore",
    "touch": "hgetall hmget hset pexpireat set time zadd*2",
    "get that slides": "hgetall*2 time",
    "set_ttl": "hgetall*2 hset pexpireat*2 set time xadd zadd*3 zscore",
    "increment": "hgetall hmget hset time xadd zadd*2 zscore",
    "append": "hgetall hmget hset llen rpush time xadd zadd*2 zscore",
    "complete": "hget hgetall*2 hincrby*2 hset pexpireat time unlink xadd zadd*4 zrem*2 zscore",
    "delete": "hget hgetall*2 hincrby*2 hset pexpireat time unlink xadd zadd*4 zrem*2 zscore",
    "record_executions": "hgetall hmget*4 hset llen rpush time xadd zadd*2 zscore",
    "claim": "hget hincrby*4 hmget hset pexpireat time unlink xadd zadd*3 zrem*2 zscore",
    "settle": "hmget zrem zscore",
}


@pytest.mark.parametrize("case", TABLE)
def test_a_script_issues_no_more_commands_than_these(open_store: StoreOpener, raw: Any, case: str) -> None:
    """A command more makes each such call dearer for all: it wants a reason, and a line here."""
    store = open_store(Counted)
    mcp = open_store(McpSession)
    sliding = open_store(Counted, sliding=True)
    keys, context = store._context.keys, store._context
    made = [store.create(ttl=3600, **FIELDS).id for _ in range(TRIES)]
    served = mcp.create(ttl=3600).id
    store.append(made[0], LINES, "first")
    mcp.mcp.record_tool_execution(served, tool="search", duration=0.1)
    steps = iter(range(1, 1000))
    left = iter(made)

    def send(operation: Operation[Any]) -> None:
        raw.script_load(operation.source)
        raw.config_resetstat()
        raw.execute_command(*operation.commands[-1])

    def claim() -> None:
        id_ = next(left)
        raw.hset(keys.session(id_), "expires_at_ms", 1)
        send(expiry.claim_session(context, keys, id_))

    def settle() -> None:
        id_ = next(left)
        version, updated = raw.hmget(keys.session(id_), "version", "updated_at_ms")
        send(expiry.settle_many(keys.partition, [Archived(keys, id_, version, updated, {})]))

    calls: dict[str, Callable[[], Any]] = {
        "create": lambda: store.create(ttl=3600, **FIELDS),
        "update": lambda: store.update(made[0], owner=f"o{next(steps)}", region=f"r{next(steps)}", step=next(steps)),
        "update of what is no index": lambda: store.update(made[0], step=next(steps)),
        "touch": lambda: store.touch(next(left)),
        "get that slides": lambda: sliding.get(made[0]),
        "set_ttl": lambda: store.set_ttl(made[0], next(steps) + 100),
        "increment": lambda: store.increment(made[0], hits=1),
        "append": lambda: store.append(made[0], LINES, "a line"),
        "complete": lambda: store.complete(next(left)),
        "delete": lambda: store.delete(next(left)),
        "record_executions": lambda: mcp.mcp.record_tool_execution(served, tool="search", duration=0.1),
        "claim": claim,
        "settle": settle,
    }
    assert issued(raw, calls[case]) == TABLE[case]
