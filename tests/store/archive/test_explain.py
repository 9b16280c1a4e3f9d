"""Every filter of the archive is served by an index, and pages over cursors are the whole list."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import psycopg
import pytest
from tests.servers import Databases

from sojourn import Indexed, Session, Settings, Status
from sojourn.archive import Archive, init
from sojourn.archive.database import statement

_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_TENANTS = ("acme", "acme.x", "default", "Other_1")

# Many sessions share a moment of creation, so that cursors have to tell them apart by id.
_FILL = """
INSERT INTO sojourn.sessions
    (tenant, id, kind, status, version, owner, client_type, tags, created_at, updated_at, accessed_at, ended_at,
    data, indexed)
SELECT tenant, id, kind, status, 1, owner, client_type, ARRAY[tag], created_at, created_at, created_at,
    CASE WHEN status NOT IN ('pending', 'in_progress') THEN created_at END,
    jsonb_build_object(
        'id', id, 'tenant', tenant, 'kind', kind, 'status', status, 'version', '1', 'owner', owner, 'client_type',
        client_type, 'tags', jsonb_build_array(tag), 'room', room, 'created_at_ms', ms, 'updated_at_ms', ms,
        'accessed_at_ms', ms, '_indexes', 'owner,tags[],room'
    ),
    ARRAY[tenant || '/owner:' || owner, tenant || '/tags:' || tag, tenant || '/room:' || room]
FROM (
    SELECT number, (%(tenants)s::text[])[1 + number %% 4] AS tenant,
        overlay(overlay(gen_random_uuid()::text PLACING '4' FROM 15) PLACING 'a' FROM 20)::uuid AS id,
        CASE WHEN number %% 40 < 4 THEN 'room' ELSE 'session' END AS kind,
        (%(statuses)s::text[])[1 + number %% 7] AS status, 'owner ' || number %% 500 AS owner,
        'client ' || number %% 50 AS client_type, 'tag ' || number %% 300 AS tag, 'room ' || number %% 200 AS room,
        %(epoch)s + number / 16 * interval '1 second' AS created_at
    FROM generate_series(1, 20000) AS number
) AS made, LATERAL (SELECT (extract(epoch FROM created_at) * 1000)::bigint::text AS ms) AS told
"""
_FILL_EVENTS = """
INSERT INTO sojourn.session_events (tenant, session_id, id, type, kind, version, at, actor, trace_id, changes)
SELECT tenant, id, '00-0-' || number, 'updated', kind, number, created_at, '', '', '{}'
FROM sojourn.sessions, generate_series(1, 3) AS number
"""
_FILL_ENTRIES = """
INSERT INTO sojourn.session_entries (tenant, session_id, log, position, entry)
SELECT tenant, id, 'notes', number, '{}' FROM sojourn.sessions, generate_series(0, 2) AS number
"""

FILTERS: dict[str, Any] = {
    "status": "failed",
    "statuses": ["pending", "in_progress"],
    "kind": "room",
    "owner": "owner 8",
    "client_type": "client 8",
    "tag": "tag 8",
    "created_after": _EPOCH + timedelta(seconds=1_100),
    "created_before": _EPOCH + timedelta(seconds=100),
    "where": {"room": "room 40"},
}
_PAIRS = [pair for pair in itertools.combinations(FILTERS, 2) if set(pair) != {"status", "statuses"}]


class RoomSession(Session):
    """A model with an indexed field of its own."""

    room: Annotated[str, Indexed()] = ""


@pytest.fixture(scope="module")
def full(databases: Databases) -> Iterator[Archive[RoomSession]]:
    """Give an archive of 20,000 sessions of four tenants."""
    name = databases.create()
    url = databases.url(name)
    init(url)
    with psycopg.connect(url, autocommit=True) as connection:
        values = {"tenants": list(_TENANTS), "statuses": [str(each) for each in Status], "epoch": _EPOCH}
        connection.execute(_FILL, values)
        connection.execute(_FILL_EVENTS)
        connection.execute(_FILL_ENTRIES)
        connection.execute("VACUUM ANALYZE")
    yield Archive(Settings(archive_url=url), model=RoomSession, tenant="acme")
    databases.drop(name)


def _wanted(*names: str) -> dict[str, Any]:
    return {"status" if name == "statuses" else name: FILTERS[name] for name in names}


def _plan(archive: Archive[Any], name: str, values: dict[str, Any]) -> str:
    with psycopg.connect(str(archive.settings.archive_url)) as connection:
        found = connection.execute(b"EXPLAIN " + statement(name), {"tenant": archive.tenant, **values}).fetchall()
    return "\n".join(row[0] for row in found)


def _values(archive: Archive[Any], wanted: dict[str, Any]) -> dict[str, Any]:
    none = dict.fromkeys(
        ("status", "kind", "owner", "client_type", "tag", "created_after", "created_before", "where")
    )  # fmt: skip
    asked = archive._filters(**(none | wanted))
    return archive._values(asked, asked.newest)


@pytest.mark.parametrize("names", [(), *((name,) for name in FILTERS), *_PAIRS], ids="+".join)
def test_no_filter_reads_the_whole_table(full: Archive[RoomSession], names: tuple[str, ...]) -> None:
    """A page, a further page and a count of each filter and each pair are read from an index."""
    everything: Archive[Session] = Archive(full.settings, tenant="acme")
    for archive in (full, everything):
        wanted = _wanted(*names)
        if archive is everything and "where" in wanted:
            continue
        values = _values(archive, wanted)
        for after_id in (None, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"):
            plan = _plan(archive, "list_sessions", values | {"after_id": after_id, "limit": 101})
            assert "Seq Scan" not in plan, plan
            assert re.search(r"Index|Bitmap", plan), plan
        plan = _plan(archive, "count_matching", values)
        assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize(
    ("names", "index"),
    [
        ((), "sessions_by_creation"), (("owner",), "sessions_by_owner"), (("tag",), "sessions_by_indexed"),
        (("where",), "sessions_by_indexed"), (("client_type",), "sessions_by_client_type"),
        (("tag", "where"), "sessions_by_indexed"), (("owner", "where"), "sessions_by_"),
    ],
)  # fmt: skip
def test_each_filter_has_its_index(full: Archive[RoomSession], names: tuple[str, ...], index: str) -> None:
    """What selects few sessions is read from the index that was made for it."""
    archive: Archive[Any] = Archive(full.settings, full._context.models, tenant="acme")
    wanted = _wanted(*names) | ({"kind": "room"} if "where" in names else {})
    plan = _plan(archive, "list_sessions", _values(archive, wanted) | {"after_id": None, "limit": 101})
    assert index in plan, plan


def test_one_session_is_found_by_its_key(full: Archive[RoomSession]) -> None:
    """So are its entries and its events."""
    session = full.list(limit=1).sessions[0]
    for name, values in (
        ("get_session", {}), ("get_entries", {"log": "notes", "start": 1, "stop": 2}), ("get_events", {})
    ):  # fmt: skip
        plan = _plan(full, name, {"id": session.id, **values})
        assert "Seq Scan" not in plan, plan
        assert "_pkey" in plan, plan


def _all(archive: Archive[Any], limit: int, wanted: dict[str, Any]) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = archive.list(limit=limit, cursor=cursor, **wanted)
        assert not page.damaged
        found += [session.id for session in page.sessions]
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(page.sessions) == limit


def _matches(session: Session, wanted: dict[str, Any]) -> bool:
    statuses = wanted.get("status", session.status)
    return (
        session.status in ([statuses] if isinstance(statuses, str) else statuses)
        and session.kind == wanted.get("kind", session.kind)
        and session.owner == wanted.get("owner", session.owner)
        and session.client_type == wanted.get("client_type", session.client_type)
        and wanted.get("tag", session.tags[0]) in session.tags
        and wanted.get("created_after", _EPOCH) <= session.created_at
        and session.created_at <= wanted.get("created_before", session.created_at)
    )


def test_pages_are_the_whole_list(full: Archive[RoomSession]) -> None:
    """For each filter, and some pairs, pages of a size that splits equal moments are what a scan of all finds."""
    everything: Archive[Session] = Archive(full.settings, full._context.models, tenant="acme")
    whole: list[Session] = []
    cursor = None
    while True:
        page = everything.list(limit=1000, cursor=cursor)
        whole += page.sessions
        cursor = page.cursor
        if cursor is None:
            break
    assert len(whole) == len({each.id for each in whole}) == everything.count() == 5_000
    assert sorted(whole, key=lambda each: (each.created_at, each.id), reverse=True) == whole
    for names in (
        (),
        *((name,) for name in FILTERS),
        ("status", "kind"),
        ("statuses", "client_type"),
        ("tag", "owner"),
    ):
        if "where" in names:
            continue
        wanted = _wanted(*names)
        right = [each.id for each in whole if _matches(each, wanted)]
        assert _all(everything, 997, wanted) == right, names
        assert everything.count(**wanted) == len(right), names
        assert [each.id for each in everything.list(limit=7, **wanted).sessions] == right[:7]
    rooms = [each for each in whole if each.kind == "room"]
    assert _all(full, 3, {}) == [each.id for each in rooms]
    wanted = {"where": {"room": "room 40"}}
    right = [each.id for each in rooms if isinstance(each, RoomSession) and each.room == "room 40"]
    assert right
    assert _all(full, 2, wanted) == _all(everything, 2, wanted | {"kind": "room"}) == right
    assert full.count(**wanted) == len(right)
    assert type(full.list(limit=1).sessions[0]) is RoomSession
