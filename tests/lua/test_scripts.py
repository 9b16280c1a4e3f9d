"""The scripts in Redis: their keys, how they get there, and what they do to damaged records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from tests.drivers import StoreOpener, snapshot

from sojourn import DocumentationSession, Note, Session, SessionCorrupt, SessionStore, Status, StoreFull
from sojourn.keys import TenantKeys
from sojourn.operations import expiry
from sojourn.scripts import lua_folder, script

ID = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
def open_store(request: pytest.FixtureRequest, redis_url: str) -> Iterator[StoreOpener]:
    """Give a function that opens stores on an empty Redis."""
    with StoreOpener(request.param, redis_url) as opener:
        yield opener


def keys(store: Any) -> TenantKeys:
    """Return the keys of a store's tenant."""
    return store._context.keys  # type: ignore[no-any-return]


def calls(raw: Any, command: str) -> int:
    """Return how often a command was called."""
    return int(raw.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


@pytest.mark.parametrize("tenant", ["acme", "a.b-c_D", "x" * 64])
def test_keys_are_those_of_python(raw: Any, tenant: str) -> None:
    """The Lua twin of `sojourn.keys` spells every key alike."""
    ours = TenantKeys.of(tenant, 64)
    spell = (
        (lua_folder() / "include" / "keys.lua").read_text()
        + """
        local k = member_keys(ARGV[1], ARGV[2] .. '/' .. ARGV[3])
        return { k.tenant, k.id, k.member, k.session, k.lease, k.log, k.index, k.kinds, k.deadlines, k.dirty,
          k.removals, k.lost, k.operations, k.events, k.token, k.tokens, k.families }"""
    )
    found = raw.eval(spell, 0, ours.partition.prefix, tenant, ID)
    partition = ours.partition
    assert found == [
        tenant, ID, ours.member(ID), ours.session(ID), ours.lease(ID), ours.log(ID, ""), ours.index("", "")[:-1],
        ours.kinds, partition.deadlines, partition.dirty, partition.removals,
        partition.lost, partition.operations, partition.events, ours.token(ID), ours.tokens(ID), ours.families(ID),
    ]  # fmt: skip
    assert all(key.startswith(partition.prefix) for key in found[3:])


def test_keys_of_another_session(raw: Any) -> None:
    """Put into a table that another one's were in, they are the same, all of them."""
    differing = """
        local own, other = session_keys('p', 't', ARGV[1]), rekey(session_keys('p', 't', 'another'), ARGV[1])
        local found = {}
        for name, key in pairs(own) do
          if other[name] ~= key then
            found[#found + 1] = name
          end
        end
        return { found, own.member, other.session }"""
    found = raw.eval((lua_folder() / "include" / "keys.lua").read_text() + differing, 0, ID)
    assert found == [[], f"t/{ID}", f"pt:session:{ID}"]


def test_one_eval_per_unknown_script(open_store: StoreOpener, raw: Any) -> None:
    """A script is sent once, when Redis says that it does not know it, and again after a flush."""
    store = open_store(DocumentationSession)
    store.count()
    raw.script_flush()
    raw.config_resetstat()
    for expected in (1, 2):
        for _ in range(3):
            store.create(workspace_id="w", module_name="m")
        assert calls(raw, "eval") == expected
        raw.script_flush()
    assert calls(raw, "evalsha") == 6


def test_one_eval_for_a_whole_batch(open_store: StoreOpener, raw: Any) -> None:
    """A batch of an unknown script brings its source once."""
    store = open_store(DocumentationSession)
    store.count()
    raw.script_flush()
    raw.config_resetstat()
    made = store.create_many([{"workspace_id": "w", "module_name": "m"}] * 50)
    assert (calls(raw, "eval"), calls(raw, "evalsha")) == (1, 99)
    assert store.get_many(each.id for each in made) == made


def test_script_is_known_by_its_sha(raw: Any) -> None:
    """Redis computes the same name for each script."""
    for path in lua_folder().glob("*.lua"):
        each = script(path.stem)
        assert raw.script_load(each.source) == each.sha


DAMAGE: dict[str, list[Any]] = {
    "id": ["", "x"], "tenant": ["", "other"], "kind": ["", "A b", "a:b", None],
    "status": ["", "weird", None], "version": ["", "x", "1.5", "nan", "0", "-1", "0x1", "9" * 30, None],
    "created_at_ms": ["x", "1e5", "inf", "-5", None], "updated_at_ms": ["x", "nan", None],
    "accessed_at_ms": ["x", "inf", None], "expires_at_ms": ["x", "inf", "nan", "1e400", "9" * 30],
    "ttl_ms": ["x", "0", "-5", "inf"], "max_lifetime_ms": ["x", "0", "-inf"],
}  # fmt: skip


@pytest.mark.parametrize("field", sorted(DAMAGE))
def test_damaged_record_is_left_alone(open_store: StoreOpener, raw: Any, field: str) -> None:
    """Every write names the damaged field, and leaves not a byte changed in Redis."""
    store = open_store(DocumentationSession, sliding=True, slide_gain=0)
    made = store.create(workspace_id="w", module_name="m", owner="ada", max_lifetime=7200)
    store.append(made.id, DocumentationSession.notes, Note(file_path="f", status="s", created_at=made.created_at))
    key = keys(store).session(made.id)
    whole = raw.hgetall(key)
    for text in DAMAGE[field]:
        raw.hset(key, mapping=whole)
        if text is None:
            raw.hdel(key, field)
        else:
            raw.hset(key, field, text)
        before = snapshot(raw)
        writes: list[Callable[[], Any]] = [
            lambda: store.update(made.id, owner="bob", status="in_progress"),
            lambda: store.update(made.id, version=2, tags=["x"]),
            lambda: store.increment(made.id, processed_files=1),
            lambda: store.append(
                made.id, DocumentationSession.notes, Note(file_path="g", status="s", created_at=made.created_at)
            ),
            lambda: store.touch(made.id),
            lambda: store.get(made.id),
            lambda: store.set_ttl(made.id, 50),
            lambda: store.persist(made.id),
            lambda: store.complete(made.id),
            lambda: store.delete(made.id),
        ]
        for write in writes:
            with pytest.raises(SessionCorrupt) as caught:
                write()
            assert caught.value.field == field, text
        assert snapshot(raw) == before, text


def test_damaged_counter(open_store: StoreOpener, raw: Any) -> None:
    """A counter that is no integer is named, and nothing is added to it or to the others."""
    store = open_store(DocumentationSession)
    made = store.create(workspace_id="w", module_name="m")
    for text in ("x", "1.5", "nan", "", "1e3", "9" * 20):
        raw.hset(keys(store).session(made.id), "processed_files", text)
        before = snapshot(raw)
        with pytest.raises(SessionCorrupt, match="processed_files"):
            store.increment(made.id, processed_files=1)
        assert snapshot(raw) == before


def test_keys_of_wrong_types(open_store: StoreOpener, raw: Any) -> None:
    """A record or a log that somebody replaced by another type is damage, not an accident of ours."""
    store: SessionStore[Any] = open_store(DocumentationSession)
    made = store.create(workspace_id="w", module_name="m")
    note = Note(file_path="f", status="s", created_at=made.created_at)
    raw.set(keys(store).log(made.id, "notes"), "x")
    before = snapshot(raw)
    calls: list[Callable[[], Any]] = [
        lambda: store.append(made.id, DocumentationSession.notes, note),
        lambda: store.entries(made.id, DocumentationSession.notes),
    ]
    for call in calls:
        with pytest.raises(SessionCorrupt, match="notes"):
            call()
    assert snapshot(raw) == before
    raw.delete(keys(store).session(made.id))
    raw.set(keys(store).session(made.id), "x")
    before = snapshot(raw)
    calls = [
        lambda: store.get(made.id),
        lambda: store.update(made.id, owner="x"),
        lambda: store.increment(made.id, processed_files=1),
        lambda: store.touch(made.id),
        lambda: store.set_ttl(made.id, 5),
        lambda: store.complete(made.id),
        lambda: store.delete(made.id),
        lambda: store.entries(made.id, DocumentationSession.notes),
    ]
    for call in calls:
        with pytest.raises(SessionCorrupt):
            call()
    assert snapshot(raw) == before


def test_damage_does_not_stop_a_sweep(open_store: StoreOpener, raw: Any) -> None:
    """A claim reports what it cannot read once, and goes on with the rest."""
    store = open_store(Session)
    made = store.create_many([{}] * 4, ttl=None)
    own = keys(store)
    raw.hset(own.session(made[0].id), "version", "x")
    raw.delete(own.session(made[1].id))
    raw.delete(own.session(made[2].id))
    raw.set(own.session(made[2].id), "x")
    raw.hset(own.session(made[3].id), "expires_at_ms", "5")
    raw.zadd(own.partition.deadlines, {own.member(each.id): 5 for each in made} | {"nonsense": 1, "a/": 2})
    operation = expiry.claim_due(store._context, own.partition, 100, archived=False)
    body, arguments = operation.source, operation.commands[-1][3:]
    swept = operation.parse([raw.eval(body, 1, *arguments)])
    assert (swept.expired, swept.lost) == (1, 3)
    assert raw.zcard(own.partition.deadlines) == 0
    types = [fields["type"] for _, fields in raw.xrange(own.partition.events)]
    assert sorted(types) == ["created"] * 4 + ["damaged"] * 2 + ["expired", "lost"]
    assert store.count(status=list(Status)) == len(store.list(status=list(Status)).sessions) == 1
    assert operation.parse([raw.eval(body, 1, *arguments)]).lost == 0


def test_full_redis(open_store: StoreOpener, raw: Any) -> None:
    """Out of memory, writes that grow are refused whole, and ends and claims still go through."""
    store = open_store(DocumentationSession)
    made = store.create_many([{"workspace_id": "w", "module_name": "m"}] * 3)
    raw.zadd(keys(store).partition.deadlines, {keys(store).member(made[1].id): 5})
    raw.config_set("maxmemory", 1)
    try:
        before = snapshot(raw)
        writes: list[Callable[[], Any]] = [
            lambda: store.create(workspace_id="w", module_name="m"),
            lambda: store.update(made[0].id, owner="x"),
            lambda: store.increment(made[0].id, processed_files=1),
            lambda: store.append(
                made[0].id,
                DocumentationSession.notes,
                Note(file_path="f", status="s", created_at=made[0].created_at),
            ),
            lambda: store.touch(made[0].id),
            lambda: store.set_ttl(made[0].id, 5),
        ]
        for write in writes:
            with pytest.raises(StoreFull):
                write()
        assert snapshot(raw) == before
        assert store.get(made[0].id) == made[0]
        assert store.complete(made[0].id).status is Status.COMPLETED
        assert store.delete(made[2].id).status is Status.DELETED
        operation = expiry.claim_due(store._context, keys(store).partition, 100, archived=False)
        assert operation.parse([raw.eval(operation.source, 1, *operation.commands[-1][3:])]).expired == 0
        assert raw.zscore(keys(store).partition.deadlines, keys(store).member(made[1].id)) > 5
    finally:
        raw.config_set("maxmemory", 0)
