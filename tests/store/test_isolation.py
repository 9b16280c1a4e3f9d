"""Two tenants in one partition: no call, cursor, group, archive view or command of one reaches what is the other's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from tests.drivers import KINDS, StoreOpener, snapshot
from tests.store.examples import JobSession

from sojourn import (
    InvalidCursor,
    LimitExceeded,
    McpSession,
    SessionNotFound,
    SessionStore,
    Settings,
    SojournError,
    TenantLimits,
    TokenInvalid,
)
from sojourn.archive import archive_once, init
from sojourn.cli import cli
from sojourn.keys import TenantKeys, partition_for

PARTITIONS = 64


def neighbours() -> tuple[str, str]:
    """Return two tenants whose names meet in one of 64 partitions, the one a prefix of the other."""
    home = partition_for("acme", "", PARTITIONS)
    return "acme", next(
        name for number in range(10_000) if partition_for(name := f"acme{number}", "", PARTITIONS) == home
    )


MINE, THEIRS = neighbours()

ON_ONE: dict[str, Callable[[Any, str], Any]] = {
    "get": lambda store, each: store.get(each),
    "update": lambda store, each: store.update(each, limit=1),
    "mutate": lambda store, each: store.mutate(each, lambda _: {"limit": 1}),
    "editing": lambda store, each: edited(store, each),
    "touch": lambda store, each: store.touch(each),
    "set_ttl": lambda store, each: store.set_ttl(each, 1),
    "persist": lambda store, each: store.persist(each),
    "increment": lambda store, each: store.increment(each, attempts=1),
    "append": lambda store, each: store.append(each, JobSession.lines, "x"),
    "entries": lambda store, each: store.entries(each, JobSession.lines),
    "complete": lambda store, each: store.complete(each),
    "fail": lambda store, each: store.fail(each),
    "terminate": lambda store, each: store.terminate(each),
    "delete": lambda store, each: store.delete(each),
    "rotate_id": lambda store, each: store.rotate_id(each),
    "restore": lambda store, each: store.restore(each),
}
"""The methods that name a session; with another's id each finds nothing."""
ON_MANY = {
    "get_many", "update_many", "list", "count", "events", "peek_events", "forget_events", "archive", "create",
    "create_many", "tokens", "mcp", "administered", "tenant_limits", "set_tenant_limits", "usage",
    "metrics",
    "expire_due", "cleanup_inactive", "start_cleanup_scheduler",  # these in cleanup/test_tenants.py
}  # fmt: skip
"""Those that do not; each has a test below."""
OF_NOBODY = {
    "acting", "cache", "owned_by", "close", "for_tenant", "model", "tenant", "cleanup_scheduler",
    "stop_cleanup_scheduler",
}  # fmt: skip


def edited(store: Any, session_id: str) -> None:
    """Edit a session in a block."""
    with store.editing(session_id) as draft:
        draft.limit = 1


def test_every_method_is_tried() -> None:
    """Whoever adds a method to the store says here how it is tried on another tenant's sessions."""
    public = {name for name, _ in inspect.getmembers(SessionStore) if not name.startswith("_")}
    assert public == ON_ONE.keys() | ON_MANY | OF_NOBODY


class Planted:
    """Both tenants' stores on one Redis and archive, and a session of each."""

    def __init__(self, opener: StoreOpener, url: str, archive_url: str, partitions: int) -> None:
        given: dict[str, Any] = {"partitions": partitions, "archive_url": archive_url}
        self.settings = Settings(redis_url=url, tenant=MINE, **given)
        self.mine = opener(JobSession, tenant=MINE, **given)
        self.theirs = opener(JobSession, tenant=THEIRS, **given)
        homes = {TenantKeys.of(name, partitions).partition for name in (MINE, THEIRS)}
        assert len(homes) == 1
        self.own = self.mine.create(owner="ada-lovelace", tags=["x"]).id
        self.other = self.theirs.create(owner="ada-lovelace", tags=["x"]).id
        self.theirs.append(self.other, JobSession.lines, "secret")
        self.ended = self.theirs.complete(self.theirs.create(owner="eve").id).id


@pytest.fixture(params=[1, PARTITIONS])
def planted(
    request: pytest.FixtureRequest, open_any_store: StoreOpener, any_redis_url: str, postgres_url: str
) -> Planted:
    """Give two tenants in one partition, of one and of sixty-four, with all that they have archived."""
    init(postgres_url)
    made = Planted(open_any_store, any_redis_url, postgres_url, request.param)
    archive_once(made.settings)
    return made


@pytest.mark.parametrize("name", ON_ONE)
def test_another_s_id_names_nothing(planted: Planted, any_redis_url: str, name: str) -> None:
    """Each method that names a session: not found, and not a byte of Redis is changed."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        before = snapshot(client)
        for each in (planted.other, planted.ended):
            with pytest.raises(SessionNotFound) as caught:
                ON_ONE[name](planted.mine, each)
            assert THEIRS not in str(caught.value)
        after = snapshot(client)
        assert {key: value for key, value in after.items() if not key.endswith(":operations")} == {
            key: value for key, value in before.items() if not key.endswith(":operations")
        }


def test_batches_and_lists_show_one_s_own(planted: Planted) -> None:
    """Nothing of another's is in a batch, a list or a count, whatever the filters."""
    mine = planted.mine
    assert mine.get_many([planted.other, planted.own, planted.ended])[::2] == [None, None]
    found = mine.update_many({planted.other: {"limit": 1}, planted.own: {"limit": 2}})
    assert isinstance(found[0], SessionNotFound)
    assert planted.theirs.get(planted.other).limit == 10
    filters: tuple[dict[str, Any], ...] = (
        {}, {"owner": "ada-lovelace"}, {"tag": "x"}, {"kind": "job"},
        {"status": ("pending", "completed", "expired", "deleted")},
    )  # fmt: skip
    for given in filters:
        assert [each.id for each in mine.list(**given).sessions] == [planted.own]
        assert mine.count(**given) == 1
    assert mine.count(owner="eve") == mine.archive.count(owner="eve") == 0
    assert [each.tenant for each in mine.create_many([{}, {}])] == [MINE] * 2
    assert planted.theirs.count() == 2


def test_a_cursor_opens_nothing_of_another(planted: Planted) -> None:
    """Cursors of lists are refused; one of events is a place in the outbox, behind which one sees one's own."""
    for _ in range(3):
        planted.theirs.create()
        planted.mine.create()
    archive_once(planted.settings)
    for theirs, mine in ((planted.theirs, planted.mine), (planted.theirs.archive, planted.mine.archive)):
        cursor = theirs.list(limit=1).cursor
        assert cursor is not None
        with pytest.raises(InvalidCursor):
            mine.list(limit=1, cursor=cursor)
    place = planted.theirs.peek_events(start="oldest", limit=1).cursor
    for page in (
        planted.mine.peek_events(cursor=place),
        planted.mine.peek_events(),
        planted.mine.peek_events(start="oldest"),
    ):
        assert {each.tenant for each in page.events} == {MINE}


def test_tokens_open_one_s_own(planted: Planted) -> None:
    """Another's token, though it names the same partition, opens, renews and revokes nothing, and no call gives one."""
    pair = planted.theirs.tokens.issue(planted.other)
    opening: tuple[Callable[[str], Any], ...] = (planted.mine.tokens.verify, planted.mine.tokens.refresh)
    for call in opening:
        for each in (pair.access, str(pair.refresh)):
            with pytest.raises(TokenInvalid):
                call(each)
    assert planted.mine.tokens.revoke(pair.access) == planted.mine.tokens.revoke_session(planted.other) == 0
    assert planted.mine.tokens.revoke_owner("eve") == 0
    naming: tuple[Callable[[str], Any], ...] = (planted.mine.tokens.issue, planted.mine.tokens.list)
    for call in naming:
        with pytest.raises(SessionNotFound):
            call(planted.other)
    assert planted.theirs.tokens.verify(pair.access).id == planted.other


def test_counts_are_one_s_own(planted: Planted) -> None:
    """What one tenant does changes no number of another's."""
    before = planted.theirs.metrics()
    planted.mine.complete(planted.mine.create(client_type="web").id)
    planted.mine.create(ttl=0.001)
    after = planted.theirs.metrics()
    assert (after.created_sessions, after.ended_sessions, after.active_sessions, after.labels) == (
        before.created_sessions, before.ended_sessions, before.active_sessions, before.labels,
    )  # fmt: skip
    assert before.tenant == planted.theirs.tenant
    assert before.created_sessions > 0


def test_limits_are_one_s_own(planted: Planted) -> None:
    """One tenant's limits, and what it takes of them, are no other's, nor is what an operator did to it."""
    planted.mine.set_tenant_limits(sessions=0)
    assert planted.theirs.tenant_limits() == TenantLimits()
    assert planted.theirs.usage().sessions is None
    assert planted.theirs.create().is_live
    with pytest.raises(LimitExceeded):
        planted.mine.create()
    planted.mine.administered("noun.verb", note="ours")
    told = [each for each in planted.theirs.peek_events().events if each.type in ("administered", "limited")]
    assert told == []


def test_executions_are_one_s_own(open_any_store: StoreOpener) -> None:
    """Nothing is recorded with another's MCP session, nor told of it."""
    mine, theirs = (open_any_store(McpSession, tenant=name) for name in (MINE, THEIRS))
    other = theirs.create().id
    calls: tuple[Callable[[], Any], ...] = (
        lambda: mine.mcp.record_tool_execution(other, tool="t", duration=1), lambda: mine.mcp.metrics(other),
        lambda: mine.mcp.executions(other), lambda: mine.mcp.terminate(other),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(SessionNotFound):
            call()
    assert theirs.mcp.metrics(other).total == 0


def test_groups_of_one_name_are_two(planted: Planted) -> None:
    """Each tenant's group reads its own events, and forgetting one leaves the other's."""
    for store, name in ((planted.mine, MINE), (planted.theirs, THEIRS)):
        events = list(store.events("billing", start="oldest", timeout=0))
        assert events
        assert {each.tenant for each in events} == {name}
    assert planted.mine.forget_events("billing")
    assert planted.theirs.forget_events("billing")
    for odd in (f"{THEIRS}:billing", "sojourn-archive:x", "*"):
        with pytest.raises(SojournError):
            planted.mine.forget_events(odd)


def test_the_archive_shows_one_s_own(planted: Planted) -> None:
    """Each view of it: another's id is not found, lists and counts have one's own, and every row bears its tenant."""
    mine, other = planted.mine.archive, planted.other
    views: tuple[Callable[[], Any], ...] = (
        lambda: mine.get(other), lambda: mine.entries(other, JobSession.lines), lambda: mine.restore(other),
    )  # fmt: skip
    for look in views:
        with pytest.raises(SessionNotFound):
            look()
    assert mine.history(other) == []
    assert [each.id for each in mine.list(status=("pending", "completed")).sessions] == [planted.own]


def test_every_row_bears_its_tenant(planted: Planted, postgres_url: str) -> None:
    """Each table of the archive that holds what is a tenant's has the tenant first in its primary key."""
    import psycopg

    assert planted
    with psycopg.connect(postgres_url) as sql:
        tables = [
            row[0] for row in sql.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'sojourn'").fetchall()
        ]
        first: dict[str, str] = dict(
            sql.execute(
                "SELECT k.table_name, k.column_name FROM information_schema.key_column_usage k "
                "WHERE k.table_schema = 'sojourn' AND k.ordinal_position = 1"
            ).fetchall()
        )
    held = [each for each in tables if each.startswith("session")]
    assert len(held) >= 4
    assert {first[each] for each in held} == {"tenant"}


COMMANDS = (
    ("get", "{id}"), ("update", "{id}", "--set", "limit=1"), ("touch", "{id}"), ("end", "{id}"),
    ("delete", "{id}"), ("delete", "{id}", "--dry-run"), ("history", "{id}"), ("restore", "{id}"),
    ("restore", "{id}", "--live"), ("restore", "{id}", "--live", "--dry-run"), ("rehydrate", "{id}"),
    ("append", "{id}", "lines", "x"), ("get", "{id:.8}"), ("end", "{id:.8}"), ("archive", "get", "{id:.8}"),
    ("history", "{id:.8}"), ("token", "issue", "{id:.8}"), ("restore", "{id:.8}"), ("rehydrate", "{id:.8}"),
    ("rotate", "{id}"), ("inspect", "{id}"), ("token", "list", "{id}"), ("token", "issue", "{id}"),
    ("token", "revoke", "--session", "{id:.8}"), ("mcp", "metrics", "{id}"), ("mcp", "executions", "{id}"),
    ("mcp", "terminate", "{id}"), ("archive", "get", "{id}"), ("archive", "get", "{id}", "--events"),
    ("get", "{id}", "--entries", "lines"), ("archive", "get", "{id}", "--entries", "lines"),
)  # fmt: skip


@pytest.fixture
def place(any_redis_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Planted, Any]]:
    """Give what was planted, all of it archived, and a plain client."""
    init(postgres_url)
    monkeypatch.setenv("SOJOURN_MODELS", '["tests.store.examples:JobSession"]')
    with (
        StoreOpener("sync", any_redis_url) as opener,
        redis.Redis.from_url(any_redis_url, decode_responses=True) as raw,
    ):
        planted = Planted(opener, any_redis_url, postgres_url, PARTITIONS)
        archive_once(planted.settings)
        yield planted, raw


def run_as_mine(command: tuple[str, ...], planted: Planted) -> Any:
    """Run a command for the tenant that is not the session's."""
    settings = planted.settings
    words = [each.format(id=planted.other) for each in command]
    given = ["--redis-url", settings.redis_url, "--archive-url", str(settings.archive_url), "--tenant", MINE, "--json"]
    return CliRunner().invoke(cli, [*words, *given])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command))
def test_no_command_reaches_another_s(place: tuple[Planted, Any], command: tuple[str, ...]) -> None:
    """Each command that names a session, with --tenant: it fails, tells nothing of it, and changes nothing."""
    planted, raw = place
    before = raw.hgetall(f"{TenantKeys.of(THEIRS, PARTITIONS).session(planted.other)}")
    ran = run_as_mine(command, planted)
    assert ran.exit_code != 0, ran.output
    assert "secret" not in ran.output
    assert "ada-lovelace" not in ran.output
    assert raw.hgetall(f"{TenantKeys.of(THEIRS, PARTITIONS).session(planted.other)}") == before


LISTS = (
    ("list", "--all"), ("events", "--from", "oldest"), ("events", "--group", "g", "--from", "oldest"),
    ("archive", "list", "--all"), ("archive", "export"), ("archive", "export", "--table", "events"),
    ("archive", "export", "--table", "entries"), ("audit", "--all"), ("audit", "--session", "{id}"),
    ("watch", "--since", "1h", "--limit", "1"), ("dead", "list"), ("cleanup", "--due"),
    ("cleanup", "--inactive", "1s", "--dry-run"), ("token", "revoke", "--session", "{id}"),
    ("token", "revoke", "--owner", "eve", "--yes"),
)  # fmt: skip
"""`metrics` and `top` are views of the whole deployment, and tell names and numbers of tenants alone."""


@pytest.mark.parametrize("command", LISTS, ids=lambda command: " ".join(command))
def test_no_list_shows_another_s(place: tuple[Planted, Any], command: tuple[str, ...]) -> None:
    """Each command that lists, with --tenant: nothing of another's is in it, and nothing of another's is changed."""
    planted, raw = place
    pair = planted.theirs.tokens.issue(planted.other)
    planted.mine.touch(planted.own)
    planted.mine.update(planted.own, owner="grace")
    before = {key: value for key, value in snapshot(raw).items() if f":{THEIRS}:" in key}
    ran = run_as_mine(command, planted)
    assert ran.exit_code == 0, ran.output
    for each in (planted.other, planted.ended, "secret", "eve", THEIRS, pair.access):
        assert each not in ran.output.replace("revoke", "").replace("event", ""), each
    assert {key: value for key, value in snapshot(raw).items() if f":{THEIRS}:" in key} == before
    assert planted.theirs.tokens.verify(pair.access).id == planted.other


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_names_in_both_are_apart(any_redis_url: str, kind: str) -> None:
    """A tenant called like a part of a key, or like another with more behind it, has its own sessions only."""
    names = ["acme", "acme.session", "session", "index", "acme2", "deadlines", "events", "dirty", "limits", "isolated"]
    with StoreOpener(kind, any_redis_url) as opener:
        store = opener(JobSession, partitions=1)
        made = {name: store.for_tenant(name).create(owner=name).id for name in names}
        for name in names:
            assert [each.id for each in store.for_tenant(name).list().sessions] == [made[name]]
            assert store.for_tenant(name).count(owner="acme") == (name == "acme")
