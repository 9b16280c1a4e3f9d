"""How a batch is cut into parts: bounded in bytes, written while the next part is read, settled together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from tests.drivers import snapshot
from tests.store.archive.helpers import dirty_members, keys_of, note

from sojourn import DocumentationSession, SessionStore, Settings, StoreFull
from sojourn.archive import GROUP, Archive, archive_once, batch, run
from sojourn.archive.batch import Part, Reader
from sojourn.errors import SessionCorrupt, SojournError
from sojourn.keys import PartitionKeys
from sojourn.operations.core import Operation
from sojourn.operations.expiry import Archived, settle, settle_many
from sojourn.transport.blocking import Transport

Query = Callable[..., list[tuple[Any, ...]]]
Store = SessionStore[DocumentationSession]
_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}
_KIB = 1024


@pytest.fixture
def execute(settings: Settings) -> Iterator[Callable[[Operation[Any]], Any]]:
    """Give a function that runs an operation."""
    transport = Transport(settings)
    yield lambda operation: operation.parse(transport.execute([operation])[0])
    transport.close()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Give a list that takes the sizes of the parts that runs read: characters of records and of events."""
    seen: list[tuple[int, int]] = []
    read = Reader.parts

    def told(self: Reader) -> Iterator[Part]:
        for part in read(self):
            seen.append((sum(len(each.row) for each in part.items), sum(len(row) for _, row in part.events)))
            yield part

    monkeypatch.setattr(Reader, "parts", told)
    return seen


def test_large_records_come_a_few_at_a_time(
    settings: Settings, store: Store, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch, parts: list[tuple[int, int]]
) -> None:
    """However large records and events are, no part holds more than its bound, or else a single record."""
    monkeypatch.setattr(batch, "PART_BYTES", 200 * _KIB)
    monkeypatch.setattr(batch, "BATCH_BYTES", 600 * _KIB)
    store.create_many([_NEW] * 30)
    large = store.create_many([{**_NEW, "metadata": {"text": "x" * 60 * _KIB}}] * 20)
    huge = store.create(**_NEW, current_file="y" * 300 * _KIB)
    report = archive_once(settings)
    assert (report.sessions, report.settled, report.events, report.complete) == (51, 51, 51, True)
    assert max(size for size, _ in parts) < 302 * _KIB
    assert sum(size > 201 * _KIB for size, _ in parts) == 1
    assert len(parts) >= 8
    assert dirty_members(raw) == []
    assert len(str(Archive(settings).get(large[-1].id).metadata)) > 60 * _KIB
    assert Archive(settings).get(huge.id).version == 1


def test_a_batch_ends_by_its_bytes(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, parts: list[tuple[int, int]]
) -> None:
    """A batch of large records commits before all of them are read, and the next one goes on."""
    monkeypatch.setattr(batch, "PART_BYTES", 100 * _KIB)
    monkeypatch.setattr(batch, "BATCH_BYTES", 200 * _KIB)
    store.create_many([{**_NEW, "metadata": {"text": "x" * 60 * _KIB}}] * 12)
    sizes: list[int] = []

    def watched(partition: PartitionKeys, archived: Any) -> Any:
        sizes.append(len(archived))
        return settle_many(partition, archived)

    monkeypatch.setattr(run, "settle_many", watched)
    report = archive_once(settings)
    assert report.settled == 12
    assert len(sizes) >= 3
    assert max(sizes) <= 4


def test_large_entries_come_a_few_at_a_time(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, raw: redis.Redis
) -> None:
    """Long logs of large entries arrive whole, in several rounds, without being read at once."""
    monkeypatch.setattr(batch, "PART_BYTES", 100 * _KIB)
    most = 0
    read = Reader.parts

    def told(self: Reader) -> Iterator[Part]:
        nonlocal most
        for part in read(self):
            most = max(most, sum(len(row) for each in part.items for _, _, row in each.entries))
            yield part

    monkeypatch.setattr(Reader, "parts", told)
    sessions = store.create_many([_NEW] * 3)
    for session in sessions:
        store.append(session.id, DocumentationSession.notes, *[note("z" * 20 * _KIB) for _ in range(8)])
    assert archive_once(settings).entries == 24
    assert most < 150 * _KIB
    assert dirty_members(raw) == []
    for session in sessions:
        assert len(Archive(settings).entries(session.id, DocumentationSession.notes)) == 8


def test_all_pending_events_are_taken(settings: Settings, store: Store, query: Query, raw: redis.Redis) -> None:
    """What a dead run took, however much, is archived together with what came since."""
    archive_once(settings)
    store.create_many([_NEW] * 700)
    stream = keys_of().partition.events
    raw.xreadgroup(GROUP, "archive", {stream: ">"}, count=600)
    report = archive_once(settings.model_copy(update={"archive_batch": 300}))
    assert (report.events, report.complete) == (700, True)
    assert raw.xpending(stream, GROUP)["pending"] == 0
    assert query("SELECT count(*) FROM sojourn.session_events") == [(700,)]


def test_a_refused_row_among_many(settings: Settings, store: Store, query: Query, raw: redis.Redis) -> None:
    """A row that PostgreSQL refuses while much more is on its way costs nobody else their place."""
    made = store.create_many([{**_NEW, "metadata": {"text": "x" * 12 * _KIB}}] * 240)
    for each in (made[0], made[-1]):
        raw.hset(keys_of().session(each.id), "owner", "".join(chr(0x4E00 + i * 7 % 20000) for i in range(5000)))
        store.append(each.id, DocumentationSession.notes, note())
    raw.xadd(keys_of().partition.events, {"type": "updated", "tenant": "default", "id": "no uuid", "at_ms": "1"})
    report = archive_once(settings)
    assert (report.sessions, report.settled, report.damaged, report.entries) == (238, 238, 3, 0)
    assert report.events == 242
    assert query("SELECT count(*) FROM sojourn.sessions") == [(238,)]
    assert len(dirty_members(raw)) == 2


def test_settled_together_as_one_by_one(
    settings: Settings, store: Store, raw: redis.Redis, execute: Callable[[Operation[Any]], Any]
) -> None:
    """Sessions settled by one script end as they do one by one, in every state; one's error leaves the others."""

    def arrange() -> list[Archived]:
        raw.flushdb()
        archived = []
        made = store.create_many([_NEW] * 7)
        store.append(made[1].id, DocumentationSession.notes, note(), note())
        store.complete(made[2].id)
        store.append(made[3].id, DocumentationSession.notes, note())
        store.complete(made[3].id)
        for number, each in enumerate(made):
            found: Any = raw.hgetall(keys_of().session(each.id))
            logs = {"notes": 2} if number == 1 else {"notes": 1} if number == 3 else {}
            version = "99" if number == 4 else found["version"]
            archived.append(Archived(keys_of(), each.id, version, found["updated_at_ms"], logs))
        raw.delete(keys_of().session(made[5].id))
        raw.delete(keys_of().session(made[6].id))
        raw.set(keys_of().session(made[6].id), "not a hash")
        return archived

    def alone(each: Archived) -> str | SojournError:
        try:
            return str(execute(settle(each.keys, each.session_id, each.version, each.updated_at_ms, dict(each.logs))))
        except SojournError as error:
            return error

    archived = arrange()
    together = execute(settle_many(keys_of().partition, archived))
    left = _left(raw, archived)
    again = arrange()
    singly = [alone(each) for each in again]
    assert [str(each) for each in together[:6]] == ["settled", "settled", "removed", "removed", "changed", "gone"]
    assert singly[:6] == together[:6]
    assert isinstance(together[6], SessionCorrupt)
    assert isinstance(singly[6], SessionCorrupt)
    assert _left(raw, again) == left
    assert raw.hget(keys_of().session(again[1].session_id), "_archived:notes") == "2"


def _left(raw: redis.Redis, archived: list[Archived]) -> Any:
    """What is left of some sessions, with their place in the arrangement for their ids."""
    names = {each.session_id: str(number) for number, each in enumerate(archived)}
    found = {}
    for key in (each for each in map(str, snapshot(raw)) if "{" in each):
        named = next((key.replace(each, number) for each, number in names.items() if each in key), key)
        found[named] = sorted(raw.hkeys(key)) if ":session:" in key and raw.type(key) == "hash" else None
    dirty = sorted(names[each.partition("/")[2]] for each in dirty_members(raw))
    return found, dirty


def test_settling_in_a_full_redis(store: Store, raw: redis.Redis, execute: Callable[[Operation[Any]], Any]) -> None:
    """In a full Redis what only notes something fails for itself, and what makes room goes through."""
    noted, ended = store.create_many([_NEW] * 2)
    store.complete(ended.id)
    record: Any = raw.hgetall(keys_of().session(ended.id))
    raw.config_set("maxmemory", 1)
    try:
        outcomes = execute(
            settle_many(
                keys_of().partition,
                [
                    Archived(keys_of(), noted.id, "", "", {"notes": 1}),
                    Archived(keys_of(), ended.id, record["version"], record["updated_at_ms"], {}),
                ],
            )
        )
    finally:
        raw.config_set("maxmemory", 0)
    assert isinstance(outcomes[0], StoreFull)
    assert outcomes[1] == "removed"
    assert dirty_members(raw) == [f"default/{noted.id}"]
