"""The audit trail: what becomes a row of it, once and in a chain; who may change it, and what finds it out."""

# ruff: noqa: S608 (the statements are made of what stands here)

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import os
import random
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis
from tests.drivers import KINDS, StoreOpener
from tests.store.archive.conftest import Starter
from tests.store.archive.helpers import keys_of, note
from tests.waiting import eventually

from sojourn import DocumentationSession, SessionStore, Settings, load_settings
from sojourn.archive import GROUP, AsyncAudit, Audit, AuditEntry, apply_retention, archive_once
from sojourn.archive.audit.append import Appender
from sojourn.archive.audit.events import Audited
from sojourn.archive.copying import append
from sojourn.archive.database import connected
from sojourn.errors import InvalidCursor, InvalidInput, SettingsError
from sojourn.keys import partition_for

Query = Callable[..., list[tuple[Any, ...]]]
Store = SessionStore[DocumentationSession]
_NEW: dict[str, Any] = {"workspace_id": "w", "module_name": "m"}
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_IN_SQL = """
SELECT seq
FROM sojourn.audit AS own, LATERAL (
    SELECT string_agg(
        CASE WHEN text IS NULL THEN '-' ELSE octet_length(text) || ':' || text || ',' END, '' ORDER BY place
    ) AS columns
    FROM unnest(ARRAY[
        tenant, seq::text, ((extract(epoch FROM at) * 1000000)::bigint)::text,
        ((extract(epoch FROM recorded_at) * 1000000)::bigint)::text, actor, action, session_id, trace_id, event_id,
        detail
    ]) WITH ORDINALITY AS texts (text, place)
) AS told
WHERE hash <> sha256(previous || convert_to(columns, 'UTF8')) OR previous <> coalesce(
    (SELECT hash FROM sojourn.audit AS before WHERE before.tenant = own.tenant AND before.seq = own.seq - 1),
    decode(repeat('00', 32), 'hex')
)
"""


def entries(settings: Settings, tenant: str = "default", **filters: Any) -> list[AuditEntry]:
    """Return all entries, oldest first."""
    audit = Audit(settings, tenant=tenant)
    found: list[AuditEntry] = []
    cursor = None
    while True:
        page = audit.list(cursor=cursor, **filters)
        found += page.entries
        cursor = page.cursor
        if cursor is None:
            return found[::-1]


def told(number: int, tenant: str = "default", **more: Any) -> Audited:
    """Make what an event tells."""
    given = {"actor": "ada", "action": "created", "session_id": None, "trace_id": "", "detail": "{}"} | more
    return Audited(
        tenant, _NOON + timedelta(seconds=number), given["actor"], given["action"], given["session_id"],
        given["trace_id"], given.get("event_id", f"40-{number}-0"), given["detail"],
    )  # fmt: skip


def add(settings: Settings, found: list[Audited]) -> int:
    """Add to the audit trail what events tell, as an archive run does."""
    with connected(str(settings.archive_url), 10) as connection, connection.transaction():
        trail = Appender(connection)
        rows = trail.rows(found)
        if rows:
            append(connection, rows)
        trail.close()
        return trail.added


@pytest.fixture
def tamper(settings: Settings) -> Iterator[Callable[..., None]]:
    """Give a function that changes the tables as a superuser can: with the triggers out of the way."""
    with psycopg.connect(str(settings.archive_url), autocommit=True) as connection:

        def change(*statements: str) -> None:
            for table in ("audit", "audit_heads"):
                connection.execute(f"ALTER TABLE sojourn.{table} DISABLE TRIGGER ALL".encode())
            for each in statements:
                connection.execute(each.encode())
            for table in ("audit", "audit_heads"):
                connection.execute(f"ALTER TABLE sojourn.{table} ENABLE TRIGGER ALL".encode())

        yield change


# What becomes a row


@pytest.mark.parametrize("kind", KINDS)
def test_a_life(settings: Settings, kind: str) -> None:
    """Who, what, when, from where and about which session, for what changes a life; never a value that was stored."""
    with StoreOpener(kind, settings.redis_url) as opened:
        store = opened(DocumentationSession, archive_url=settings.archive_url, actor="ada", trace_id="t-1")
        made = store.create(**_NEW, owner="secret-owner")
        store.update(made.id, current_file="secret-file")  # neither status nor owner: history has it, the audit has not
        store.append(made.id, DocumentationSession.notes, note("secret-note"))
        store.acting(actor="eve").update(made.id, owner="secret-heir", current_file="secret-file-2")
        store.update(made.id, status="in_progress")
        store.touch(made.id)
        store.complete(made.id, reason="done")
        store.delete(made.id)
        archive_once(settings)
        store.restore(made.id, version=2)
        assert archive_once(settings).audited == 1
        audit = store.archive.audit
        page = audit.list() if isinstance(audit, Audit) else asyncio.run(audit.list())
        report = audit.verify() if isinstance(audit, Audit) else asyncio.run(audit.verify())
        assert (report.rows, report.is_sound) == (6, True)
    found = page.entries[::-1]
    assert [(each.seq, each.action, each.actor, each.trace_id) for each in found] == [
        (1, "created", "ada", "t-1"), (2, "updated", "eve", ""), (3, "updated", "ada", "t-1"),
        (4, "ended", "ada", "t-1"), (5, "deleted", "ada", "t-1"), (6, "restored", "ada", "t-1"),
    ]  # fmt: skip
    assert {each.session_id for each in found} == {made.id}
    assert found[0].at == made.created_at
    assert found[0].detail == {"kind": "documentation", "version": 1}
    assert found[1].detail == {"kind": "documentation", "version": 4, "changed": ["current_file", "owner"]}
    assert found[2].detail["status"] == "in_progress"
    assert (found[3].detail["status"], found[3].detail["end_reason"]) == ("completed", "done")
    assert "secret" not in json.dumps([each.to_json() for each in found])
    assert found[0].to_json()["at_ms"] == round(made.created_at.timestamp() * 1000)


def test_what_happened_to_no_session(settings: Settings, store: Store, query: Query) -> None:
    """A limit's and an operator's event are audited as they are, and are no session's; nothing is damaged by them."""
    store.acting(actor="ada", trace_id="t").administered("tenant.limits", sessions=100, owner="ümlaut \x00 \ud800")
    store.administered("archive.retention")
    report = archive_once(settings)
    assert (report.audited, report.events, report.damaged) == (2, 0, 0)
    first, second = entries(settings)
    assert (first.action, first.actor, first.trace_id, first.session_id) == ("tenant.limits", "ada", "t", None)
    assert first.detail == {"changes": {"sessions": 100, "owner": "ümlaut \x00 \ud800"}}
    assert (second.action, second.detail) == ("archive.retention", {"changes": {}})
    assert query("SELECT count(*) FROM sojourn.session_events") == [(0,)]


def test_what_other_hands_wrote(settings: Settings, store: Store, raw: redis.Redis, query: Query) -> None:
    """Odd events are told as far as they can be, and those that cannot be are counted; none stops the others."""
    stream = keys_of().partition.events
    whole = {
        "type": "created", "tenant": "default", "id": "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b", "kind": "session",
        "version": "1", "at_ms": "1750000000000", "actor": "", "trace": "", "changes": "", "before": "",
    }  # fmt: skip
    store.create(**_NEW)
    odd: list[dict[str, Any]] = [
        {"type": "limited", "id": "", "changes": '{"limit":"sessions","bound":10,"count":NaN}'},
        {"type": "administered", "id": "", "changes": "no JSON"},
        {"type": "administered", "id": "", "changes": '{"action":["x"]}'},
        {"type": "token_reused", "changes": '{"family":"secret"}'},
        {"actor": "x" * 100_000, "trace": "ü" * 5_000},
        {"type": "administered", "id": "", "changes": json.dumps({"action": "a.b", "x": "y" * 1_000_000})},
        {"type": "updated", "changes": '{"owner":1,'},
        {"type": "updated", "changes": '{"summary":"\\"status\\""}'},
        {"type": "lost", "version": "x", "at_ms": "99999999999999999999"},
        {"type": "ended", "changes": '{"status":{"a":"secret"},"end_reason":7}'},
        {"id": "no uuid"},
        {"tenant": "no:tenant"},
        {"actor": b"\xff"},
        {"type": "administered", "id": "", "changes": "[" * 100_000},
    ]
    for each in odd:
        raw.xadd(stream, whole | each)
    report = archive_once(settings)
    assert report.complete
    found = entries(settings)
    assert [each.action for each in found] == [
        "created", "limited", "administered", "administered", "token_reused", "created", "a.b", "updated", "lost",
        "ended", "created", "administered",
    ]  # fmt: skip
    assert found[1].detail == {"changes": {"limit": "sessions", "bound": 10, "count": "NaN"}}
    assert found[2].detail == {"unreadable": True}
    assert found[4].detail["changed"] == ["family"]
    assert found[5].actor.startswith("xxx")
    assert "100000 bytes" in found[5].actor
    assert set(found[6].detail) == {"bytes", "sha256"}
    assert found[7].detail["unreadable"] is True
    assert (found[8].at, found[8].detail["version"]) == (datetime(1970, 1, 1, tzinfo=UTC), 0)
    assert set(found[9].detail) == {"kind", "version", "changed"}
    assert found[10].session_id == "no uuid"
    assert "secret" not in json.dumps([each.to_json() for each in found])
    assert raw.xpending(stream, GROUP)["pending"] == 0
    assert Audit(settings).verify().is_sound


def test_two_tenants_of_one_partition(settings: Settings, store: Store, query: Query) -> None:
    """Each has a chain of its own, and neither sees the other's."""
    one, other = [name for name in (f"t{number}" for number in range(500)) if partition_for(name, "", 64) == 7][:2]
    for number in range(6):
        store.for_tenant((one, other)[number % 2]).create(**_NEW)
    archive_once(settings)
    for name in (one, other):
        assert [each.seq for each in entries(settings, name)] == [1, 2, 3]
        assert {each.tenant for each in entries(settings, name)} == {name}
        assert store.for_tenant(name).archive.audit.verify().is_sound
    page = Audit(settings, tenant=one).list(limit=1)
    with pytest.raises(InvalidCursor):
        Audit(settings, tenant=other).list(limit=1, cursor=page.cursor)


# Exactly once


def test_many_runs_at_once(settings: Settings, store: Store, query: Query) -> None:
    """Four runs archive while four writers write: each event is in its tenant's chain once, and chains are sound."""
    tenants = [store.for_tenant(name) for name in ("default", "a", "b", "c")]
    small = settings.model_copy(update={"archive_batch": 7})
    stop = threading.Event()

    def archive(_: int) -> None:
        last = False
        while not last:
            last = stop.is_set()
            archive_once(small)

    def write(own: Store) -> None:
        for session in own.create_many([_NEW] * 30):
            own.update(session.id, owner="ada")
            own.complete(session.id)

    with ThreadPoolExecutor(8) as pool:
        archiving = [pool.submit(archive, number) for number in range(4)]
        try:
            list(pool.map(write, tenants))
        finally:
            stop.set()
        for each in archiving:
            each.result()
    archive_once(settings)
    assert query("SELECT tenant, count(*), count(DISTINCT event_id) FROM sojourn.audit GROUP BY 1 ORDER BY 1") == [
        (name, 90, 90) for name in ("a", "b", "c", "default")
    ]
    assert [(each.is_sound, each.rows) for each in Audit(settings).verify_all()] == [(True, 90)] * 4


def test_killed_between_commit_and_acknowledgement(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """Events that are delivered again are not told again, and what came meanwhile follows them."""
    made = store.create_many([_NEW] * 20)
    store.administered("tenant.limits")
    code = (
        "import os; from sojourn import load_settings; from sojourn.archive import run\n"
        "run._Run._put_back = lambda *_: os.kill(os.getpid(), 9)\n"
        "run.archive_once(load_settings())"
    )
    environment = {"SOJOURN_REDIS_URL": settings.redis_url, "SOJOURN_ARCHIVE_URL": str(settings.archive_url)}
    for told_until_now in (21, 22):
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, check=False)
        assert done.returncode == -9
        assert raw.xpending(keys_of().partition.events, GROUP)["pending"] == told_until_now
        assert len(entries(settings)) == told_until_now
        store.complete(made.pop().id)
    assert archive_once(settings).audited == 1
    assert [each.seq for each in entries(settings)] == list(range(1, 24))
    assert entries(settings)[-1].action == "ended"
    assert Audit(settings).verify().is_sound


def test_killed_at_random(settings: Settings, store: Store, raw: redis.Redis, query: Query, start_run: Starter) -> None:
    """However often and wherever runs are killed, in the end each event is in the chain once."""
    made = [each.id for each in store.create_many([_NEW] * 60)]
    for number in range(6):
        for session_id in made[number::6]:
            store.update(session_id, owner=str(number))
        process = start_run(settings)
        before = query("SELECT count(*) FROM sojourn.audit")
        eventually(
            lambda process=process, before=before: (  # type: ignore[misc]
                process.poll() is not None or query("SELECT count(*) FROM sojourn.audit") != before
            ),
            what="a run that has committed",
        )
        process.kill()
        process.wait()
    archive_once(settings)
    assert query("SELECT count(*), count(DISTINCT event_id) FROM sojourn.audit") == [(120, 120)]
    assert raw.xpending(keys_of().partition.events, GROUP)["pending"] == 0
    assert Audit(settings).verify().is_sound


def test_one_id_for_two_events(settings: Settings) -> None:
    """A clock that went back may give an id twice: what differs is not left out, what is the same is not doubled."""
    first = told(1)
    assert add(settings, [first, told(2), first]) == 2
    earlier = told(0, event_id="40-1-0")
    assert add(settings, [first, earlier, told(1, actor="eve"), told(1, session_id="x"), told(1, detail="{ }")]) == 4
    assert add(settings, [earlier, told(1, actor="eve"), told(2)]) == 0
    assert Audit(settings).verify().rows == 6


def test_a_redis_from_an_older_copy(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """Events of a Redis that was put back, with ids before those that were told, come into the chain all the same."""
    store.create(**_NEW)
    archive_once(settings)
    found: Any = raw.xrevrange(keys_of().partition.events, count=1)
    last = found[0][1]
    raw.delete(keys_of().partition.events)
    for number in (5, 6):
        raw.xadd(keys_of().partition.events, last | {"id": "", "type": "limited"}, id=f"{number}-0")
    assert archive_once(settings).audited == 2
    assert [each.event_id[3:] for each in entries(settings)][1:] == ["5-0", "6-0"]
    assert Audit(settings).verify().is_sound


def test_a_tenant_that_comes_back(settings: Settings, store: Store, raw: redis.Redis) -> None:
    """Where everything in Redis is gone, a tenant's chain goes on where it was."""
    store.create(**_NEW)
    archive_once(settings)
    raw.flushdb()
    store._shared.opened = False
    with SessionStore(settings=settings, model=DocumentationSession) as anew:
        anew.create(**_NEW)
    archive_once(settings)
    assert [each.seq for each in entries(settings)] == [1, 2]
    assert Audit(settings).verify().is_sound


def test_twins() -> None:
    """The asynchronous reader has the same names and parameters."""
    names = [name for name in vars(Audit) if not name.startswith("_")]
    assert names == ["list", "verify", "verify_all"]
    for name in names:
        one, other = (inspect.signature(getattr(cls, name)) for cls in (Audit, AsyncAudit))
        assert (list(one.parameters), one.return_annotation) == (list(other.parameters), other.return_annotation)


# Who may change it


def test_append_only(settings: Settings) -> None:
    """Each way to change or remove rows is refused, with words; and to set the ends of chains back."""
    add(settings, [told(number) for number in range(1, 6)])
    retention = "SET LOCAL sojourn.audit_retention = 'on'; "
    anchor = (
        "UPDATE sojourn.audit_heads SET pruned_seq = 2, pruned_hash = (SELECT hash FROM sojourn.audit WHERE seq = 2)"
    )
    refused = {
        "UPDATE sojourn.audit SET actor = 'eve'": "UPDATE of sojourn.audit is refused: the audit trail is append-only",
        "UPDATE sojourn.audit SET actor = 'eve' WHERE false": "append-only",
        "DELETE FROM sojourn.audit": "DELETE of sojourn.audit is refused: the audit trail is append-only",
        "DELETE FROM sojourn.audit WHERE seq = 1": "append-only",
        "TRUNCATE sojourn.audit": "TRUNCATE of sojourn.audit is refused: the audit trail is append-only",
        "TRUNCATE sojourn.audit, sojourn.audit_heads": "append-only",
        "INSERT INTO sojourn.audit TABLE sojourn.audit ON CONFLICT (tenant, seq) DO UPDATE SET actor = ''":
            "UPDATE of sojourn.audit",
        retention + "UPDATE sojourn.audit SET actor = 'eve'": "append-only",
        retention + "TRUNCATE sojourn.audit": "append-only",
        retention + "DELETE FROM sojourn.audit WHERE seq = 1": "behind the moved anchor",
        retention + anchor + "; DELETE FROM sojourn.audit WHERE seq IN (1, 2, 4)": "behind the moved anchor",
        "SET LOCAL sojourn.audit_retention = 'off'; " + anchor: "only retention moves the beginning",
        retention + "UPDATE sojourn.audit_heads SET pruned_seq = 6": "only retention moves the beginning",
        retention + "UPDATE sojourn.audit_heads SET pruned_hash = '\\x00'": "only retention moves the beginning",
        "UPDATE sojourn.audit_heads SET seq = 4": "the end of a chain only moves on",
        "UPDATE sojourn.audit_heads SET hash = '\\x00'": "the end of a chain only moves on",
        "UPDATE sojourn.audit_heads SET tenant = 'x'": "the end of a chain only moves on",
        "DELETE FROM sojourn.audit_heads": "DELETE of sojourn.audit_heads is refused",
        "TRUNCATE sojourn.audit_heads": "TRUNCATE of sojourn.audit_heads is refused",
    }  # fmt: skip
    for sql, words in refused.items():
        with (
            psycopg.connect(str(settings.archive_url)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match=words),
        ):
            connection.execute(sql.encode())
    assert Audit(settings).verify().rows == 5


def test_the_hash_can_be_computed_by_others(settings: Settings, store: Store, query: Query) -> None:
    """PostgreSQL alone comes to the same hashes, and so do twenty lines of Python."""
    add(settings, [told(1), told(2, actor="ünï:5,", session_id="", detail='{"a":"\\u00fc"}'), told(3, trace_id="-")])
    store.administered("tenant.limits", a=1)
    store.create(**_NEW)
    archive_once(settings)
    assert query(_IN_SQL) == []
    epoch, previous = datetime(1970, 1, 1, tzinfo=UTC), bytes(32)
    rows = query(
        "SELECT tenant, seq, at, recorded_at, actor, action, session_id, trace_id, event_id, detail, hash "
        "FROM sojourn.audit ORDER BY seq"
    )
    for *columns, digest in rows:
        text = b""
        for each in columns:
            value = (each - epoch) // timedelta(microseconds=1) if isinstance(each, datetime) else each
            raw = str(value).encode()
            text += b"-" if each is None else str(len(raw)).encode() + b":" + raw + b","
        assert hashlib.sha256(previous + text).digest() == digest
        previous = digest
    assert len(rows) == 5


# What finds out that somebody did


_CHANGES = {
    "actor": "'eve'", "action": "'x'", "session_id": "'x'", "trace_id": "'x'", "event_id": "'x'", "detail": "'{ }'",
    "at": "at + interval '1 microsecond'", "recorded_at": "'infinity'", "previous": "sha256('x')",
    "hash": "sha256('x')", "tenant": "'default2'", "seq": "40",
}  # fmt: skip


@pytest.mark.parametrize("column", _CHANGES)
def test_a_changed_column(settings: Settings, tamper: Callable[..., None], column: str) -> None:
    """A change to any column of a row is found, at that row."""
    add(settings, [told(number) for number in range(1, 31)])
    assert Audit(settings).verify().is_sound
    tamper(f"UPDATE sojourn.audit SET {column} = {_CHANGES[column]} WHERE seq = 17")
    report = Audit(settings).verify()
    assert report.problem is not None
    assert (report.problem.seq, report.rows) == (17, 16)
    assert report.problem.kind == ("missing" if column in ("tenant", "seq") else "changed")
    assert [each.tenant for each in Audit(settings).verify_all() if not each.is_sound] == (
        ["default", "default2"] if column == "tenant" else ["default"]
    )


_SWAP = """
UPDATE sojourn.audit AS one SET (actor, at, event_id, previous, hash) =
    (SELECT actor, at, event_id, previous, hash FROM sojourn.audit AS other
     WHERE other.seq = 29 - one.seq AND other.tenant = one.tenant)
WHERE seq IN (14, 15) AND tenant = 'default'
"""
_PUT_IN = """
INSERT INTO sojourn.audit
SELECT tenant, {}, at, recorded_at, actor, action, session_id, trace_id, 'x', detail, hash, hash
FROM sojourn.audit WHERE seq = {} AND tenant = 'default'
"""
_DELETE = "DELETE FROM sojourn.audit WHERE tenant = 'default' AND "
_HEAD = "UPDATE sojourn.audit_heads SET {} WHERE tenant = 'default'"
_ANCHOR = _HEAD.format("pruned_seq = 5, pruned_hash = (SELECT hash FROM sojourn.audit WHERE seq = 5)")
_RENUMBER = "UPDATE sojourn.audit SET seq = {} WHERE tenant = 'default' AND seq = {}"
_TAMPERED = {
    "removed in the middle": ([_DELETE + "seq = 12"], (12, "missing")),
    "several removed in the middle": ([_DELETE + "seq BETWEEN 12 AND 20"], (12, "missing")),
    "removed at the end": ([_DELETE + "seq > 25"], (26, "end")),
    "removed at the beginning": ([_DELETE + "seq < 5"], (1, "beginning")),
    "all removed": ([_DELETE + "true"], (1, "end")),
    "the beginning removed and its anchor moved": ([_ANCHOR, _DELETE + "seq <= 5"], (5, "beginning")),
    "only the anchor moved": ([_ANCHOR], (1, "beginning")),
    "swapped": ([_SWAP], (14, "changed")),
    "renumbered": (
        [_RENUMBER.format(99, 14), _RENUMBER.format(14, 15), _RENUMBER.format(15, 99)],
        (14, "changed"),
    ),
    "put in behind the end": ([_PUT_IN.format(31, 30)], (31, "head")),
    "put in behind the end, and noted": ([_PUT_IN.format(31, 30), _HEAD.format("seq = 31")], (31, "changed")),
    "put in before the beginning": ([_PUT_IN.format(0, 1)], (0, "beginning")),
    "the head's hash": ([_HEAD.format("hash = sha256('x')")], (30, "head")),
    "the head set back": ([_HEAD.format("seq = 29")], (30, "head")),
    "the head set on": ([_HEAD.format("seq = 31")], (31, "end")),
    "the head removed": (["DELETE FROM sojourn.audit_heads WHERE tenant = 'default'"], (1, "head")),
    "the anchor's hash": ([_HEAD.format("pruned_hash = sha256('x')")], (1, "moved")),
}


@pytest.mark.parametrize("how", _TAMPERED)
def test_tampering(settings: Settings, tamper: Callable[..., None], how: str) -> None:
    """Each way of tampering, with the triggers out of the way, is found, with the place and the kind."""
    add(settings, [told(number) for number in range(1, 31)])
    add(settings, [told(number, "sound") for number in range(1, 4)])
    statements, expected = _TAMPERED[how]
    tamper(*statements)
    problem = Audit(settings).verify().problem
    assert problem is not None
    assert (problem.seq, problem.kind) == expected
    assert {each.tenant: each.is_sound for each in Audit(settings).verify_all()} == {"default": False, "sound": True}
    # Whatever was done, the archive goes on, and what was done stays to be seen; but for the seq of a head that was set
    # back, which is put right.
    add(settings, [told(number) for number in range(50, 55)])
    assert Audit(settings).verify().is_sound == (how == "the head set back")


def rewrite(settings: Settings, tamper: Callable[..., None], upto: int) -> None:
    """Write a tenant's chain anew as a whole, sound, without its last rows."""
    tamper("DELETE FROM sojourn.audit", "DELETE FROM sojourn.audit_heads")
    add(settings, [told(number, actor="somebody else") for number in range(1, upto + 1)])


def test_a_chain_that_was_written_anew(settings: Settings, tamper: Callable[..., None]) -> None:
    """Only a head that was kept elsewhere finds that out; it also stands once the chain has gone on."""
    add(settings, [told(number) for number in range(1, 11)])
    audit = Audit(settings)
    kept = str(audit.verify().head)
    assert audit.verify(expect=kept).is_sound
    assert audit.verify(expect=f"0:{'0' * 64}").is_sound
    add(settings, [told(number) for number in range(11, 2_011)])
    assert audit.verify(expect=kept.upper()).is_sound
    for upto, words in ((20, "was expected, but it is"), (5, "the chain ends before it")):
        rewrite(settings, tamper, upto)
        assert audit.verify().is_sound
        problem = audit.verify(expect=kept).problem
        assert problem is not None
        assert (problem.seq, problem.kind) == (10, "unexpected")
        assert words in problem.message
    for wrong in ("", "10", "10:abc", f"-1:{'0' * 64}", f"1:{'0' * 65}", f"{'9' * 30}:{'0' * 64}"):
        with pytest.raises(InvalidInput, match="SEQ:HASH"):
            audit.verify(expect=wrong)


def test_nothing_yet(settings: Settings) -> None:
    """A tenant without a chain has a sound one."""
    report = Audit(settings, tenant="nobody").verify()
    assert (report.is_sound, report.rows, str(report.head)) == (True, 0, f"0:{'0' * 64}")
    assert Audit(settings).verify_all() == ()
    assert Audit(settings).list().entries == ()


def test_many_rows_in_little_memory(settings: Settings) -> None:
    """10,000 rows of 1 KB are verified in less than 8 MB, and while others are added."""
    detail = json.dumps({"x": "y" * 1_000})
    for start in range(0, 10_000, 1_000):
        add(settings, [told(number, detail=detail) for number in range(start, start + 1_000)])
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 5_000:
            add(settings, [told(20_000)])

    audit = Audit(settings)
    audit.verify()
    tracemalloc.start()
    try:
        report = audit.verify(progress=progress)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report.is_sound, report.rows) == (True, 10_000), "as it was when it began"
    assert peak < 8_000_000
    assert seen[0] == (1_000, 10_000)
    assert seen[-1] == (10_000, 10_000)
    assert audit.verify().rows == 10_001


# Lists


def test_filters_and_pages(settings: Settings) -> None:
    """Each filter and several at once, page by page, newest first."""
    ids = ["0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b", "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"]
    add(settings, [
        told(number, actor=("ada", "eve", "")[number % 3], action=("created", "ended")[number % 2],
             session_id=ids[number % 2], trace_id=f"t{number % 5}")
        for number in range(30)
    ])  # fmt: skip
    audit = Audit(settings)

    def at(**filters: Any) -> list[int]:
        return [int(each.event_id.split("-")[1]) for each in entries(settings, **filters)]

    assert at(limit=7) == list(range(30))
    assert at(actor="ada") == list(range(0, 30, 3))
    assert at(actor="") == list(range(2, 30, 3))
    assert at(action="ended", limit=1) == list(range(1, 30, 2))
    assert at(action=["ended", "created"]) == list(range(30))
    assert at(session_id=ids[0], trace_id="t0") == [0, 10, 20]
    assert at(since=_NOON + timedelta(seconds=25)) == [25, 26, 27, 28, 29]
    assert at(until=_NOON + timedelta(seconds=2), action="created") == [0, 2]
    assert at(actor="nobody") == []
    page = audit.list(limit=10, actor="ada")
    assert page.cursor is None
    cursor = audit.list(limit=3).cursor
    assert cursor is not None
    wrong: list[dict[str, Any]] = [
        {"limit": 0}, {"limit": True}, {"limit": 10**9}, {"session_id": "x"}, {"actor": 7}, {"trace_id": "a\nb"},
        {"action": 7}, {"action": []}, {"action": ["\x00"]}, {"since": datetime(2026, 1, 1)}, {"until": "now"},  # noqa: DTZ001
        {"cursor": ""}, {"cursor": "x" * 300}, {"cursor": cursor + "x"}, {"cursor": cursor, "actor": "ada"},
        {"cursor": 7},
    ]  # fmt: skip
    for each in wrong:
        with pytest.raises(InvalidInput):
            audit.list(**each)
    for _ in range(300):
        broken = "".join(random.choices("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789-_=", k=random.randrange(1, 60)))
        with pytest.raises(InvalidCursor):
            audit.list(cursor=broken)


def test_without_an_archive(any_redis_url: str) -> None:
    """It says that none is set."""
    with pytest.raises(SettingsError, match="archive_url is not set"):
        Audit(Settings(redis_url=any_redis_url))


# Retention


def age(tamper: Callable[..., None], settings: Settings, query: Query) -> None:
    """Have all that was recorded until now recorded a day ago, in sound chains."""
    tamper("UPDATE sojourn.audit SET recorded_at = recorded_at - interval '1 day'")
    rows = query(
        "SELECT tenant, seq, at, recorded_at, actor, action, session_id, trace_id, event_id, detail, previous "
        "FROM sojourn.audit ORDER BY tenant, seq"
    )
    before: dict[str, bytes] = {}
    for tenant, seq, at, recorded_at, *texts, first in rows:
        epoch, microsecond = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
        columns = [tenant, seq, (at - epoch) // microsecond, (recorded_at - epoch) // microsecond, *texts]
        raw = b"".join(
            b"-" if each is None else b"%d:%b," % (len(str(each).encode()), str(each).encode()) for each in columns
        )
        previous = before[tenant] if tenant in before else bytes(first)
        before[tenant] = hashlib.sha256(previous + raw).digest()
        tamper(
            f"UPDATE sojourn.audit SET previous = '\\x{previous.hex()}', hash = '\\x{before[tenant].hex()}' "
            f"WHERE tenant = '{tenant}' AND seq = {seq}"
        )
    for tenant, digest in before.items():
        tamper(f"UPDATE sojourn.audit_heads SET hash = '\\x{digest.hex()}' WHERE tenant = '{tenant}'")


def test_retention(settings: Settings, tamper: Callable[..., None], query: Query) -> None:
    """The beginning goes, the chain tells so and stays sound; what is recent stays, however old it says that it is."""
    add(settings, [told(number) for number in range(1, 6)] + [told(number, "acme") for number in range(1, 4)])
    age(tamper, settings, query)
    assert all(each.is_sound for each in Audit(settings).verify_all())
    add(settings, [told(-(10**8)), told(7)])
    for kept in (None, timedelta(days=2)):
        assert apply_retention(settings.model_copy(update={"audit_retention": kept})).audit_rows == 0
    short = settings.model_copy(update={"audit_retention": timedelta(hours=1)})
    dry = apply_retention(short, dry_run=True)
    assert (dry.audit_rows, query("SELECT count(*) FROM sojourn.audit")) == (8, [(10,)])
    head = str(Audit(settings).verify().head)
    report = apply_retention(short)
    assert (report.audit_rows, report.audit_damaged) == (8, [])
    assert [each.seq for each in entries(settings)] == [6, 7, 8]
    pruned = entries(settings)[-1]
    assert (pruned.action, pruned.actor, pruned.event_id) == ("audit.prune", "sojourn", "")
    assert (pruned.detail["seq"], pruned.detail["rows"]) == (5, 5)
    assert [each.action for each in entries(settings, "acme")] == ["audit.prune"]
    reports = Audit(settings).verify_all()
    assert [(each.tenant, each.is_sound, each.pruned_seq) for each in reports] == [
        ("acme", True, 3),
        ("default", True, 5),
    ]
    assert Audit(settings).verify(expect=head).is_sound
    problem = Audit(settings).verify(expect=f"3:{'0' * 64}").problem
    assert problem is not None
    assert "was removed up to 5" in problem.message
    assert apply_retention(short).audit_rows == 0
    # What retention tells of itself does not go alone: that would have to be told again.
    age(tamper, settings, query)
    assert apply_retention(short).audit_rows == 3
    assert [each.action for each in entries(settings)] == ["audit.prune"]
    assert [each.action for each in entries(settings, "acme")] == ["audit.prune"]
    assert entries(settings, "acme")[0].seq == 4
    assert all(each.is_sound for each in Audit(settings).verify_all())


def test_retention_keeps_what_was_tampered_with(
    settings: Settings, tamper: Callable[..., None], query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a damaged chain nothing is removed, so that it can be looked into; others' rows go."""
    add(settings, [told(number) for number in range(1, 6)] + [told(number, "acme") for number in range(1, 4)])
    age(tamper, settings, query)
    tamper("UPDATE sojourn.audit SET actor = 'eve' WHERE seq = 2 AND tenant = 'acme'")
    report = apply_retention(settings.model_copy(update={"audit_retention": timedelta(hours=1)}))
    assert (report.audit_rows, report.audit_damaged) == (5, ["acme"])
    assert "audit trail is damaged tenant=acme" in caplog.text
    assert len(entries(settings, "acme")) == 3


def test_retention_passes_over_what_is_being_written(
    settings: Settings, tamper: Callable[..., None], query: Query
) -> None:
    """A chain that a run adds to is left to the next time, without a wait; many runs at once remove each row once."""
    add(settings, [told(number) for number in range(1, 101)])
    age(tamper, settings, query)
    short = settings.model_copy(update={"audit_retention": timedelta(hours=1)})
    with connected(str(settings.archive_url), 10) as connection, connection.transaction():
        Appender(connection).lock(["default"])
        assert apply_retention(short).audit_rows == 0
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(apply_retention, short) for _ in range(4)]
        for number in range(200, 210):
            add(settings, [told(number)])
        assert sum(each.result().audit_rows for each in runs) in (0, 100)
    left = apply_retention(short).audit_rows
    assert len(entries(settings)) == 11
    assert left in (0, 100)
    assert Audit(settings).verify().is_sound


@pytest.mark.parametrize("wrong", ["0", "-5", "P200Y", "x"])
def test_a_retention_that_is_none(wrong: str) -> None:
    """Zero, less, too long and no duration are refused."""
    with pytest.raises(SettingsError):
        load_settings(audit_retention=wrong)
