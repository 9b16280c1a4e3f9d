"""Sessions of MCP servers: executions of tools."""

from __future__ import annotations

import hashlib
import inspect
import json
import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue, TypeAdapter
from tests.conftest import OwnRedis
from tests.drivers import StoreOpener, snapshot
from tests.proxy import Proxy
from tests.store.examples import JobSession, keys_of
from tests.store.mcp_writers import record_each
from tests.store.test_signatures import methods, told

from sojourn import (
    ClientInfo,
    CounterOutOfRange,
    DocumentationSession,
    InvalidField,
    InvalidInput,
    Limits,
    McpSession,
    Session,
    SessionCorrupt,
    SessionEnded,
    SessionNotFound,
    SessionStore,
    Status,
    StoreFull,
    ToolExecution,
    WrongKind,
    WrongOwner,
)
from sojourn.limits import LONGEST_BATCH
from sojourn.mcp import AsyncMcpCalls, McpCalls
from sojourn.operations.mcp import BOUNDS_MS, _digest
from sojourn.scripts import lua_folder

Store = SessionStore[McpSession]


@pytest.fixture
def store(open_store: StoreOpener) -> Store:
    """Give a store of MCP sessions."""
    return open_store(McpSession)


@pytest.fixture
def made(store: Store) -> McpSession:
    """Give a session."""
    return store.create(owner="ada", edge_mcp_id="edge-1")


@pytest.mark.parametrize("name", ["executions", "failed_executions", "execution_time_us"])
def test_counts_are_changed_by_recording_alone(open_store: StoreOpener, raw: Any, name: str) -> None:
    """No other call sets or adds to them, so that the metrics of a session stay exact; each is told what to call."""
    store = open_store(McpSession)
    made = store.create(owner="ada")
    store.mcp.record_tool_execution(made.id, tool="t", duration=1)
    before = snapshot(raw)
    for call in (
        lambda: store.create(**{name: 1}),
        lambda: store.update(made.id, **{name: 5}),
        lambda: store.increment(made.id, **{name: 1}),
        lambda: store.mutate(made.id, lambda session: {name: getattr(session, name) + 1}),
    ):
        with pytest.raises(InvalidField, match=rf"{name}.*record_tool_execution\(\)"):
            call()
    assert snapshot(raw) == before
    assert store.mcp.metrics(made.id).total == 1


def test_the_model_is_ready(open_store: StoreOpener) -> None:
    """Its fields are stored, its index finds it, and a store of all kinds knows it."""
    store = open_store(McpSession)
    client = ClientInfo(name="claude", version="1", protocol_version="2025-06-18", capabilities={"roots": {"x": [1]}})
    made = store.create(edge_mcp_id="edge-1", client_type="ide", client_info=client)
    assert store.get(made.id) == made
    assert store.get(made.id).client_info == client
    assert [each.id for each in store.list(where={"edge_mcp_id": "edge-1"}).sessions] == [made.id]
    assert type(open_store(Session).get(made.id)) is McpSession
    assert made.kind == "mcp"


def test_appended_and_counted(store: Store, made: McpSession, raw: Any) -> None:
    """One call: an entry, the counts of the record, those of the tool, one version, one event."""
    began = datetime.now(UTC)
    assert store.mcp.record_tool_execution(made.id, tool="search", duration=0.0123, arguments={"q": "x"}) == 1
    assert store.mcp.record_tool_execution(made.id, tool="search", duration=timedelta(seconds=3)) == 2
    assert store.mcp.record_tool_execution(made.id, tool="write it", duration=20, success=False, error="no disk") == 3
    session = store.get(made.id)
    assert (session.executions, session.failed_executions, session.execution_time_us) == (3, 1, 23_012_300)
    assert session.version == 4
    first, second, third = store.entries(made.id, McpSession.tool_executions)
    digest = hashlib.sha256(b'{"q":"x"}').hexdigest()
    assert (first.tool, first.duration, first.success, first.error, first.arguments_digest) == (
        "search", timedelta(microseconds=12_300), True, None, digest,
    )  # fmt: skip
    assert abs(first.at - began) < timedelta(minutes=1)
    assert second.at <= third.at == session.updated_at
    assert (third.success, third.error, third.arguments_digest) == (False, "no disk", None)
    metrics = store.mcp.metrics(made.id)
    assert (metrics.total, metrics.failed, metrics.duration) == (3, 1, timedelta(microseconds=23_012_300))
    assert metrics.success_rate == 2 / 3
    assert metrics.average_duration == timedelta(microseconds=7_670_767)
    assert (metrics.session_id, metrics.others) == (made.id, None)
    assert (metrics.log_length, metrics.log_first, metrics.log_dropped) == (3, 0, 0)
    assert list(metrics.tools) == ["search", "write it"]
    assert (metrics.tools["search"].total, metrics.tools["search"].failed) == (2, 0)
    (event,) = store.peek_events(limit=1).events
    assert event.changes == {
        "tool_executions": {"appended": 1, "length": 3}, "executions": 3, "failed_executions": 1,
        "execution_time_us": 23_012_300,
    }  # fmt: skip
    assert event.before == {
        "_log:tool_executions": "2", "executions": "2", "failed_executions": "0", "execution_time_us": "3012300",
    }  # fmt: skip
    assert raw.hget(keys_of(store).session(made.id), "_tool:write it") == "1 1 20000000 0 0 0 0 0 0 0 0 0 0 0 1"


def test_without_executions(store: Store, made: McpSession) -> None:
    """Nothing is divided by nothing."""
    metrics = store.mcp.metrics(made.id)
    assert (metrics.total, metrics.success_rate, metrics.average_duration, metrics.tools) == (0, None, None, {})
    assert [each.count for each in metrics.buckets] == [0] * 12


def test_buckets(store: Store, made: McpSession) -> None:
    """An execution of exactly a bound is within it; a microsecond more is in the next."""
    for bound in BOUNDS_MS:
        store.mcp.record_tool_executions(
            made.id,
            [{"tool": "at", "duration": timedelta(milliseconds=bound)},
             {"tool": "over", "duration": timedelta(milliseconds=bound, microseconds=1)}],
        )  # fmt: skip
    metrics = store.mcp.metrics(made.id)
    assert [each.bound_ms for each in metrics.buckets] == [*BOUNDS_MS, None]
    assert [each.count for each in metrics.tools["at"].buckets] == [*range(1, 12), 11]
    assert [each.count for each in metrics.tools["over"].buckets] == [*range(11), 11]
    assert metrics.buckets[-1].count == metrics.total == 22


def test_tools_beyond_the_limit(open_store: StoreOpener) -> None:
    """They are counted together, also where they are mixed with known ones in one call."""
    store = open_store(McpSession, limits=Limits(tools=3))
    made = store.create()
    calls = [{"tool": f"t{n % 6}", "duration": 0.001, "success": n % 2 == 0} for n in range(24)]
    store.mcp.record_tool_executions(made.id, calls)
    store.mcp.record_tool_executions(made.id, calls)
    metrics = store.mcp.metrics(made.id)
    assert {tool: each.total for tool, each in metrics.tools.items()} == {"t0": 8, "t1": 8, "t2": 8}
    assert metrics.others is not None
    assert (metrics.others.total, metrics.others.failed) == (24, 16)
    assert (metrics.total, metrics.failed) == (48, 24)


BAD: dict[str, tuple[str, Any]] = {
    "no text": ("tool", 5), "empty": ("tool", ""), "too long": ("tool", "é" * 65), "a line break": ("tool", "a\nb"),
    "a NUL": ("tool", "a\x00"), "a surrogate": ("tool", "\ud800"), "None": ("tool", None),
    "NaN": ("duration", float("nan")), "negative": ("duration", -0.001), "infinite": ("duration", float("inf")),
    "huge": ("duration", 10**400), "months": ("duration", timedelta(days=31)), "a bool": ("duration", True),
    "text": ("duration", "1"), "no duration": ("duration", None), "a negative delta": ("duration", timedelta(-1)),
    "not a bool": ("success", 1), "error of a success": ("error", "x"),
    "a set": ("arguments", {1, 2}), "an object": ("arguments", object()), "number keys": ("arguments", {1: 2}),
    "not a number": ("arguments", [float("nan")]), "bytes": ("arguments", b"x"), "lone": ("arguments", "\udfff"),
    "deep": ("arguments", json.loads("[" * 50 + "]" * 50)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(store: Store, made: McpSession, raw: Any, name: str) -> None:
    """A typed error names the field, and Redis is unchanged, also if others in the call are good."""
    field, value = BAD[name]
    before = snapshot(raw)
    good = {"tool": "t", "duration": 1}
    with pytest.raises(InvalidField) as caught:
        store.mcp.record_tool_execution(made.id, **{**good, field: value})
    assert caught.value.field == ("success" if name == "error of a success" else field)
    with pytest.raises(InvalidField):
        store.mcp.record_tool_executions(made.id, [good, {**good, field: value}])
    assert snapshot(raw) == before


@pytest.mark.parametrize("error", [5, b"x", "a\x00b", "\ud800"])
def test_errors_that_are_no_text(store: Store, made: McpSession, error: Any) -> None:
    """They are refused."""
    with pytest.raises(InvalidField):
        store.mcp.record_tool_execution(made.id, tool="t", duration=1, success=False, error=error)


@pytest.mark.parametrize(
    "calls", [[], "text", {"tool": "t", "duration": 1}, 5, [5], [{}], [{"tool": "t"}], [{"duration": 1}],
              [{"tool": "t", "duration": 1, "more": 1}], [{"tool": "t", "duration": 1, 5: 1}],
              [{"tool": "t", "duration": 1}] * 1001]
)  # fmt: skip
def test_calls_that_are_none(store: Store, made: McpSession, calls: Any) -> None:
    """What is no list of executions, or too long a one, is refused."""
    with pytest.raises(InvalidInput):
        store.mcp.record_tool_executions(made.id, calls)
    assert store.get(made.id).version == 1


def test_long_errors_are_cut(store: Store, made: McpSession) -> None:
    """What is kept of an error ends between two characters."""
    store.mcp.record_tool_execution(made.id, tool="t", duration=1, success=False, error="a" + "é" * 2000)
    (entry,) = store.entries(made.id, McpSession.tool_executions)
    assert entry.error == "a" + "é" * 511


def test_the_longest_batch(store: Store, made: McpSession) -> None:
    """A thousand executions of as many tools."""
    calls = [{"tool": f"t{n}", "duration": n / 1000} for n in range(1000)]
    assert store.mcp.record_tool_executions(made.id, calls) == 1000
    metrics = store.mcp.metrics(made.id)
    assert (len(metrics.tools), metrics.others and metrics.others.total) == (200, 800)


def test_a_batch_of_ten_thousand_tools(open_store: StoreOpener) -> None:
    """Every execution of the longest batch that a deployment may allow can be of another tool."""
    store = open_store(McpSession, limits=Limits(batch=LONGEST_BATCH))
    made = store.create()
    calls = [{"tool": f"tool-{number}", "duration": 0.1} for number in range(LONGEST_BATCH)]
    assert store.mcp.record_tool_executions(made.id, calls) == LONGEST_BATCH
    assert store.mcp.metrics(made.id).total == LONGEST_BATCH


def test_arguments_are_kept_nowhere(store: Store, made: McpSession, raw: Any) -> None:
    """Only a digest of them is in Redis."""
    store.mcp.record_tool_execution(made.id, tool="t", duration=1, arguments={"password": "planted-secret"})
    assert not any(b"planted-secret" in dump for dump, _ in snapshot(raw).values())


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20,
))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_digest_is_of_the_canonical_text(arguments: Any) -> None:
    """Whatever the order of keys, equal values have equal digests; anything else is a typed error."""
    limits = Limits()
    try:
        digest = _digest(limits, arguments)
    except InvalidField:
        with pytest.raises((UnicodeEncodeError, ValueError)):
            json.dumps(TypeAdapter(JsonValue).validate_python(arguments), ensure_ascii=False).encode()
        return
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    if isinstance(arguments, dict):
        assert _digest(limits, dict(reversed(arguments.items()))) == digest


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.text(max_size=130), st.floats() | st.integers() | st.timedeltas(), st.booleans()), max_size=8)
)
def test_any_input(open_any_store: StoreOpener, raw_any: Any, calls: list[tuple[str, Any, bool]]) -> None:
    """What comes of it is a typed error and an unchanged Redis, or exact counts."""
    store = open_any_store(McpSession)
    made = store.create()
    before = snapshot(raw_any)
    given_ = [{"tool": tool, "duration": duration, "success": success} for tool, duration, success in calls]
    try:
        store.mcp.record_tool_executions(made.id, given_)
    except InvalidInput:
        assert snapshot(raw_any) == before
        return
    metrics = store.mcp.metrics(made.id)
    assert metrics.total == len(calls)
    assert metrics.failed == sum(not success for *_, success in calls)
    assert {tool: each.total for tool, each in metrics.tools.items()} == {
        tool: sum(each[0] == tool for each in calls) for tool in {each[0] for each in calls}
    }
    assert metrics.duration == sum((each.duration for each in store.entries(made.id, McpSession.tool_executions)),
                                   timedelta())  # fmt: skip


@pytest.fixture
def raw_any(any_redis_url: str) -> Any:
    """Give a plain client of the one Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def test_its_owner_is_checked(store: Store, made: McpSession, raw: Any) -> None:
    """A call that names another owner gets nothing, changes nothing, and hears no more than of an unknown id."""
    calls = store.mcp
    assert calls.record_tool_execution(made.id, tool="t", duration=1, owner="ada") == 1
    assert calls.metrics(made.id, owner="ada").total == 1
    before = snapshot(raw)
    unknown = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
    for call in (
        lambda id_: calls.record_tool_execution(id_, tool="t", duration=1, owner="bob"),
        lambda id_: calls.record_tool_executions(id_, [{"tool": "t", "duration": 1}], owner="bob"),
        lambda id_: calls.metrics(id_, owner="bob"),
        lambda id_: calls.executions(id_, owner="bob"),
        lambda id_: calls.terminate(id_, owner="bob"),
    ):
        with pytest.raises(WrongOwner) as stranger:
            call(made.id)
        with pytest.raises(SessionNotFound) as nobody:
            call(unknown)
        assert str(stranger.value).replace(made.id, unknown) == str(nobody.value)
    assert snapshot(raw) == before
    with pytest.raises(InvalidField):
        calls.metrics(made.id, owner="")
    assert calls.terminate(made.id, owner="ada").status is Status.TERMINATED


def test_terminate_tells_by_whom_and_why(open_store: StoreOpener) -> None:
    """The event that the audit takes."""
    store = open_store(McpSession, actor="gateway", trace_id="4bf92f")
    made = store.create(owner="ada")
    ended = store.mcp.terminate(made.id, owner="ada", reason="signed out")
    assert (ended.status, ended.end_reason) == (Status.TERMINATED, "signed out")
    (event,) = store.peek_events(limit=1).events
    assert (event.type, event.actor, event.trace_id) == ("ended", "gateway", "4bf92f")
    assert event.changes == {"status": "terminated", "end_reason": "signed out"}
    with pytest.raises(SessionEnded):
        store.mcp.record_tool_execution(made.id, tool="t", duration=1)
    assert store.mcp.metrics(made.id).total == 0


def test_stores_of_other_models(open_store: StoreOpener) -> None:
    """A store of all kinds can; one of another kind cannot, and a session of another kind is refused."""
    everything, jobs = open_store(Session), open_store(JobSession)
    made, job = open_store(McpSession).create(), jobs.create()
    assert everything.mcp.record_tool_execution(made.id, tool="t", duration=1) == 1
    assert everything.mcp.metrics(made.id).total == 1
    for call in (everything.mcp.metrics, everything.mcp.terminate, everything.mcp.executions):
        with pytest.raises(WrongKind):
            call(job.id)
    with pytest.raises(WrongKind):
        everything.mcp.record_tool_execution(job.id, tool="t", duration=1)
    for other in (jobs, open_store(DocumentationSession)):
        with pytest.raises(InvalidInput, match="no MCP sessions"):
            _ = other.mcp


class EdgeSession(McpSession, kind="edge"):
    """A model of a user's own."""

    region: str = "eu"


def test_models_of_ones_own(open_store: StoreOpener) -> None:
    """A subclass has all of it."""
    store = open_store(EdgeSession)
    made = store.create(region="us")
    assert store.mcp.record_tool_execution(made.id, tool="t", duration=1) == 1
    assert store.mcp.metrics(made.id).total == store.get(made.id).executions == 1
    ended: Any = store.mcp.terminate(made.id)
    assert ended.region == "us"


def test_a_call_slides_the_deadline(open_store: StoreOpener, raw: Any) -> None:
    """Where sessions slide, it counts as use."""
    store = open_store(McpSession, sliding=True)
    made = store.create(ttl=100)
    raw.hset(keys_of(store).session(made.id), "expires_at_ms", int(made.created_at.timestamp() * 1000) + 50_000)
    store.mcp.record_tool_execution(made.id, tool="t", duration=1)
    assert store.get(made.id).expires_at >= made.expires_at


@pytest.mark.parametrize(
    "field", ["executions", "failed_executions", "execution_time_us", "_tool:t", "_first:tool_executions"]
)
def test_damaged_figures(store: Store, made: McpSession, raw: Any, field: str) -> None:
    """A write names what is damaged, and changes nothing."""
    store.mcp.record_tool_execution(made.id, tool="t", duration=1)
    raw.hset(keys_of(store).session(made.id), field, "1 x")
    before = snapshot(raw)
    with pytest.raises(SessionCorrupt) as caught:
        store.mcp.record_tool_execution(made.id, tool="t", duration=1)
    assert caught.value.field == field
    with pytest.raises(SessionCorrupt):
        store.mcp.metrics(made.id)
    assert snapshot(raw) == before


def test_more_time_than_can_be_counted(store: Store, made: McpSession, raw: Any) -> None:
    """The sum stays exact, or the call is refused."""
    raw.hset(keys_of(store).session(made.id), "execution_time_us", 2**53 - 2)
    store.mcp.record_tool_execution(made.id, tool="t", duration=timedelta(microseconds=1))
    before = snapshot(raw)
    with pytest.raises(CounterOutOfRange):
        store.mcp.record_tool_execution(made.id, tool="t", duration=timedelta(microseconds=1))
    assert snapshot(raw) == before


def test_a_full_redis_refuses_it_whole(store_kind: str, own_redis: OwnRedis) -> None:
    """Nothing is counted that is not appended."""
    server = own_redis({"maxmemory-policy": "noeviction"})
    with StoreOpener(store_kind, server.url) as opener, redis.Redis.from_url(server.url) as client:
        store = opener(McpSession)
        made = store.create()
        store.mcp.record_tool_execution(made.id, tool="t", duration=1)
        client.config_set("maxmemory", 1)
        before = snapshot(client)
        with pytest.raises(StoreFull):
            store.mcp.record_tool_execution(made.id, tool="u", duration=1)
        assert snapshot(client) == before


def test_several_processes(redis_url: str, raw: Any) -> None:
    """Without an archive: the list keeps to its bound, the counts are exact, and what had to go is counted."""
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    with StoreOpener("sync", redis_url) as opener:
        store = opener(McpSession)
        made = store.create()
        store.mcp.record_tool_executions(made.id, [{"tool": "before", "duration": 0}] * 1000)
        for _ in range(8):
            store.mcp.record_tool_executions(made.id, [{"tool": "before", "duration": 0}] * 1000)
        processes = [context.Process(target=record_each, args=(redis_url, made.id, me, 500, start)) for me in range(4)]
        for each in processes:
            each.start()
        start.set()
        for each in processes:
            each.join(60)
        assert [each.exitcode for each in processes] == [0] * 4
        metrics = store.mcp.metrics(made.id)
        assert (metrics.total, metrics.failed) == (11_000, 4 * 167)
        assert (metrics.log_first, metrics.log_length, metrics.log_dropped) == (1_000, 10_000, 1_000)
        assert raw.llen(keys_of(store).log(made.id, "tool_executions")) == 10_000
        page = store.mcp.executions(made.id, start=500, count=1000)
        assert (page.start, len(page.entries)) == (1_000, 500)
        assert store.mcp.executions(made.id, start=100, count=100).start == 200


def test_a_hundred_thousand_without_an_archive(any_redis_url: str) -> None:
    """The list keeps to the hard bound, the counts are exact, and what had to go is told."""
    with StoreOpener("sync", any_redis_url) as opener, redis.Redis.from_url(any_redis_url) as client:
        store = opener(McpSession)
        made = store.create()
        key = keys_of(store).log(made.id, "tool_executions")
        longest = 0
        for start in range(0, 100_000, 1_000):
            store.mcp.record_tool_executions(
                made.id, [{"tool": f"t{n % 3}", "duration": n / 1e6} for n in range(start, start + 1_000)]
            )
            longest = max(longest, int(client.llen(key)))
        metrics = store.mcp.metrics(made.id)
    assert longest == 10_000
    assert (metrics.log_first, metrics.log_length, metrics.log_dropped) == (90_000, 10_000, 90_000)
    assert {tool: each.total for tool, each in metrics.tools.items()} == {"t0": 33_334, "t1": 33_333, "t2": 33_333}
    assert (metrics.total, metrics.duration) == (100_000, timedelta(microseconds=sum(range(100_000))))


def test_an_entry_can_be_appended_as_it_is(store: Store, made: McpSession) -> None:
    """What `append` adds is in the log, and not counted."""
    entry = ToolExecution(tool="t", at=datetime(2024, 1, 1, tzinfo=UTC), duration=timedelta(seconds=1), success=True)
    assert store.append(made.id, McpSession.tool_executions, entry) == 1
    assert store.entries(made.id, McpSession.tool_executions) == [entry]
    assert store.mcp.metrics(made.id).total == 0


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_reply_counts_once(
    open_store: StoreOpener, redis_url: str, proxy_to: Callable[[str], Proxy], raw: Any, lost: int
) -> None:
    """The call is sent again, and the answer is that of the first time."""
    proxy = proxy_to(redis_url)
    far = open_store(McpSession, url=proxy.url, socket_timeout=0.15, limits=Limits(log_entries=3))
    made = far.create()
    far.mcp.record_tool_executions(made.id, [{"tool": "t", "duration": 1}] * 3)
    proxy.drop_replies(lost, to=b"EVALSHA")
    assert far.mcp.record_tool_execution(made.id, tool="t", duration=1) == 4
    assert proxy.dropped == lost
    metrics = far.mcp.metrics(made.id)
    assert (metrics.total, metrics.log_first, metrics.log_length, metrics.log_dropped) == (4, 1, 3, 1)
    assert far.get(made.id).version == 3
    entry = far.entries(made.id, McpSession.tool_executions)[0]
    proxy.drop_replies(lost, to=b"EVALSHA")
    assert far.append(made.id, McpSession.tool_executions, entry) == 5


def test_twins() -> None:
    """The calls of both stores have the same names and signatures."""
    ours, theirs = methods(McpCalls), methods(AsyncMcpCalls)
    assert {name: told(inspect.signature(each)) for name, each in ours.items()} == {
        name: told(inspect.signature(each)) for name, each in theirs.items()
    }


@pytest.mark.parametrize(
    "at_ms", [0, 951_782_399_999, 951_782_400_000, 1_709_251_199_001, 4_107_542_400_000, 1_798_761_599_999]
)
def test_moments_in_lua(raw: Any, at_ms: int) -> None:
    """Leap days and turns of years are told as Python tells them."""
    source = (lua_folder() / "include" / "moment.lua").read_text() + "return iso_from(tonumber(ARGV[1]))"
    told_ = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert raw.eval(source, 0, at_ms) == told_
