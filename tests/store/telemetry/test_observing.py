"""Each public call is told to observers: by its name, with how it ended, once."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from typing import Any

import pytest
from tests.fuzz.world import public_entries
from tests.waiting import eventually_async

from sojourn import (
    AsyncSessionStore,
    InvalidInput,
    McpSession,
    SessionNotFound,
    SessionStore,
    Settings,
    SojournError,
    VersionConflict,
)
from sojourn.telemetry import Call, Observer, Outcome

UNKNOWN = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
NOT_OBSERVED = {
    "close", "acting", "for_tenant", "owned_by", "events", "start_cleanup_scheduler", "stop_cleanup_scheduler",
}  # fmt: skip
"""What asks Redis nothing, or goes on and on; the calls of a scheduler are told as ``cleanup_run``."""
SAME = {"mcp.record_tool_execution": "mcp.record_tool_executions"}
"""One execution is recorded as several are."""
GIVEN: dict[str, Any] = {
    "session_id": UNKNOWN, "session_ids": [UNKNOWN], "sessions": [{}], "updates": {UNKNOWN: {}}, "ttl": 60,
    "change": lambda _: {}, "log": McpSession.tool_executions, "group": "g", "action": "noun.verb", "max_age": 60,
    "owner": "ada", "token": "sjt_22_" + "x" * 43, "tool": "t", "duration": 1, "executions": [],
}  # fmt: skip


class Noted(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.flushed = 0

    def started(self, call: Call) -> Any:
        """Keep the call when it has ended."""

        def ended(outcome: Outcome) -> None:
            assert outcome.duration_s > 0
            assert (outcome.error is None) == (outcome.result == "ok")
            self.calls.append((call.operation, call.tenant, outcome.result))

        return ended

    def flush(self) -> None:
        """Count it."""
        self.flushed += 1


def names(store: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the public methods that ask Redis, and arguments for each."""
    found = []
    for entry in public_entries(store):
        if entry.path in NOT_OBSERVED or entry.path.startswith(("archive.", "editing")) or entry.path == "restore":
            continue
        given = {
            each.name: GIVEN[each.name]
            for each in entry.parameters
            if each.default is inspect.Parameter.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        }
        given |= {"set_tenant_limits": {"sessions": 5}, "increment": {"count": 1}}.get(entry.path, {})
        found.append((entry.path, given))
    assert len(found) > 30
    return found


def test_every_call_is_told_by_its_name(any_redis_url: str) -> None:
    """Each method of the store, its tokens and its MCP calls, once, whether it finds something or not."""
    noted = Noted()
    settings = Settings(redis_url=any_redis_url, archive_url="postgresql://127.0.0.1:1/none")
    with SessionStore(settings=settings, model=McpSession, observers=[noted]) as store:
        for path, given in names(store):
            noted.calls.clear()
            target: Any = store
            *within, name = path.split(".")
            for each in within:
                target = getattr(target, each)
            with suppress(SojournError):
                _call(getattr(target, name), dict(given))
            assert [each[:2] for each in noted.calls] == [(SAME.get(path, path), "default")], path
    assert noted.flushed == 1


def _call(method: Any, given: dict[str, Any]) -> Any:
    """Call it with positional-only parameters where they are."""
    positional = [
        given.pop(each.name)
        for each in inspect.signature(method).parameters.values()
        if each.name in given and each.kind is each.POSITIONAL_ONLY
    ]
    return method(*positional, **given)


@pytest.mark.anyio
async def test_the_asynchronous_store_tells_the_same(any_redis_url: str) -> None:
    """Names, tenants and results; also of what runs in a block, in a batch, or by itself."""
    noted = Noted()
    async with AsyncSessionStore(any_redis_url, model=McpSession, observers=[noted]) as store:
        session = await store.for_tenant("acme").create()
        acme = store.for_tenant("acme")
        async with acme.editing(session.id) as draft:
            draft.tags = ["x"]
        with pytest.raises(VersionConflict):
            await acme.update(session.id, version=1, tags=[])
        with pytest.raises(SessionNotFound):
            await store.get(session.id)
        with pytest.raises(ZeroDivisionError):
            await acme.mutate(session.id, lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
        await acme.get_many([session.id, UNKNOWN])
        await acme.mcp.metrics(session.id)
        pair = await acme.tokens.issue(session.id)
        await acme.tokens.verify(pair.access)
        acme.start_cleanup_scheduler(60)
        await eventually_async(lambda: _ran(acme))
    assert noted.calls == [
        ("create", "acme", "ok"),
        ("get", "acme", "ok"),
        ("editing", "acme", "ok"),
        ("update", "acme", "version_conflict"),
        ("get", "default", "not_found"),
        ("mutate", "acme", "error"),
        ("get_many", "acme", "ok"),
        ("mcp.metrics", "acme", "ok"),
        ("tokens.issue", "acme", "ok"),
        ("tokens.verify", "acme", "ok"),
        ("cleanup_run", "acme", "ok"),
    ]


async def _ran(store: Any) -> bool:
    return bool(store.cleanup_scheduler.runs)


@pytest.mark.anyio
async def test_a_cancelled_call(any_redis_url: str) -> None:
    """It is told as such."""
    noted = Noted()
    async with AsyncSessionStore(any_redis_url, observers=[noted]) as store:
        await store.count()
        task = asyncio.create_task(store.count())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [each[2] for each in noted.calls] == ["ok", "cancelled"]


class Broken(Observer):
    """Raises wherever it can."""

    def started(self, call: Call) -> Any:
        """Raise for writes at once, for reads when they end."""

        def ended(_: Outcome) -> None:
            raise RuntimeError("odd")

        if call.operation == "create":
            raise RuntimeError("odd")
        return ended

    def trace_id(self) -> str:
        """Raise."""
        raise RuntimeError("odd")

    def flush(self) -> None:
        """Raise."""
        raise RuntimeError("odd")


def test_an_observer_that_fails_stops_no_call(any_redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is told once, and the others are told of the call all the same."""
    noted = Noted()
    with SessionStore(any_redis_url, observers=[Broken(), noted]) as store:
        session = store.create()
        for _ in range(5):
            assert store.get(session.id) == session
    assert [each[0] for each in noted.calls] == ["create", *["get"] * 5]
    assert caplog.text.count("observer failed") == 1


@pytest.mark.parametrize("odd", [3, "x", [object()], [Observer], None])
def test_odd_observers(any_redis_url: str, odd: Any) -> None:
    """They are refused."""
    with pytest.raises(InvalidInput):
        SessionStore(any_redis_url, observers=odd)
