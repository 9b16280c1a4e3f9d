"""Files that are to be imported into the archive, as disks, editors and strangers leave them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from tests.fuzz.hostile import MARK
from tests.fuzz.oracle import check_error, check_message
from tests.fuzz.profile import examples
from tests.servers import Databases

from sojourn import InvalidName, SessionStore, SojournError, load_settings
from sojourn.archive import archive_once, init, rehydrate
from sojourn.archive.transfer import FORMATS, TABLES, DamagedFile, export_rows, import_rows

_FORMAT_NAMES: Final = sorted(FORMATS)
_DAY: Final = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
_IDS: Final = tuple(f"00000000-0000-4000-8000-00000000000{number}" for number in range(3))
_KEPT: Final = "00000000-0000-4000-8000-0000000000ff"
"""A session whose state is newer than any in a file."""
_PIECES: Final = (
    b"", b"\x00", b"\xff\xfe", b'"', b'""', b"\n", b"\r\n", b",", b"{", b"}", b"]", b"null", b"NaN", b"-1", b"1e400",
    b"9" * 40, b"[" * 2_000, b'{"a":' * 2_000, b"\\N", b"\\.", b"\\u0000", b"\\ud800", b"infinity", b"-infinity",
    b"0001-01-01", b"99999-12-31T00:00:00Z", b"'; DROP TABLE sojourn.sessions; --", b'"_table":"audit",',
    b'"_table":"events",', b"acme", b"../..", b"{1,2}", b"true", b"P1Y", b"1000000000 years", b"\xe2\x80\xa8",
    b"\xf0\x9f\x98\x80", b"x" * 100_000, MARK.encode(),
)  # fmt: skip
"""What is put into files."""


def _changed(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with a few changes: pieces put in or in place of others, parts cut out, doubled or moved."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 0, 1, 2, 8, 40, 400])))
        piece = draw(st.sampled_from(_PIECES) | st.binary(max_size=8))
        match draw(st.sampled_from(["replace", "cut", "double", "end", "swap"])):
            case "replace":
                content = content[:start] + piece + content[end:]
            case "cut":
                content = content[:start] + content[end:]
            case "double":
                content = content[:end] + content[start:]
            case "end":
                content = content[:start]
            case _:
                content = content[end:] + content[:end]
    return content


class Archive:
    """An archive, and good files of each table in each format."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        self._fill()
        self.files = {(table, form): self._export(table, form) for table in TABLES for form in _FORMAT_NAMES}
        self.kept = self._newest()

    def _fill(self) -> None:
        for number, session_id in enumerate((*_IDS, _KEPT)):
            of = {"tenant": "acme", "session_id": session_id}
            self._put(
                "sessions", tenant="acme", id=session_id, kind="session", status="pending", version=number + 1,
                owner=MARK, tags=["a", 'b"c', ""], indexed=[], created_at=_DAY, updated_at=_DAY, accessed_at=_DAY,
                expires_at=_DAY, ttl="1 hour", data=json.dumps({"metadata": {"n": [1, None, "ü"]}}),
            )  # fmt: skip
            self._put("session_entries", **of, log="lines", position=number, entry=json.dumps(MARK))
            self._put(
                "session_events", **of, id=f"7-{number}-0", type="created", kind="session", version=1, at=_DAY,
                actor="ada", trace_id="", changes=json.dumps({"owner": MARK}),
            )  # fmt: skip
            self._put("session_snapshots", **of, version=1, updated_at=_DAY, data="{}")

    def _put(self, table: str, **row: Any) -> None:
        names, values = map(sql.Identifier, row), [sql.Placeholder()] * len(row)
        insert = sql.SQL("INSERT INTO sojourn.{} ({}) VALUES ({})")
        comma = sql.SQL(", ")
        self.connection.execute(
            insert.format(sql.Identifier(table), comma.join(names), comma.join(values)), list(row.values())
        )

    def _export(self, table: str, form: str) -> bytes:
        file = io.BytesIO()
        export_rows(self.url, file, table=table, file_format=form, all_tenants=True)
        return file.getvalue()

    def _newest(self) -> Any:
        self.connection.execute(
            "UPDATE sojourn.sessions SET updated_at = 'infinity', version = 9223372036854775807 WHERE id = %s", (_KEPT,)
        )
        return self.kept_row()

    def kept_row(self) -> Any:
        """The session that no file may change."""
        query = "SELECT s::text FROM sojourn.sessions AS s WHERE tenant = 'acme' AND id = %s"
        return self.connection.execute(query, (_KEPT,)).fetchone()

    def rows(self) -> int:
        """How many rows there are in all that can be imported."""
        counts = [
            self.connection.execute(f"SELECT count(*) FROM sojourn.{table.table}").fetchone()  # noqa: S608
            for table in TABLES.values()
        ]
        return sum(each[0] for each in counts if each is not None)

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()

    def others(self) -> list[Any]:
        """What is in the tables that nothing is imported into."""
        query = "SELECT count(*) FROM sojourn.audit UNION ALL SELECT count(*) FROM sojourn.tenants"
        return self.connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def archive(databases: Databases) -> Iterator[Archive]:
    """Give one archive for all examples: none may harm it."""
    name = databases.create()
    init(databases.url(name))
    with contextlib.closing(Archive(databases.url(name))) as archive:
        yield archive
    databases.drop(name)


@pytest.mark.parametrize("form", _FORMAT_NAMES)
@pytest.mark.parametrize("table", TABLES)
@given(data=st.data())
@examples(12)
def test_damaged_files(archive: Archive, table: str, form: str, data: st.DataObject) -> None:
    """What is no row is told by its place, without a value of it; each is counted once, and nothing else changes."""
    content = data.draw(st.composite(_changed)(archive.files[table, form]), label="file")
    strict = data.draw(st.booleans(), label="strict")
    told: list[str] = []
    before, others = archive.rows(), archive.others()
    try:
        report = import_rows(archive.url, io.BytesIO(content), file_format=form, strict=strict, damaged=told.append)
    except DamagedFile as error:
        check_error(error)
    else:
        assert report.damaged == 0 or told
        assert min(report.written, report.unchanged, report.damaged) >= 0
        assert archive.rows() - before <= report.written
        again = import_rows(archive.url, io.BytesIO(content), file_format=form)
        assert (again.read, again.damaged) == (report.read, report.damaged)
        assert again.written == 0
    for each in told:
        check_message(each)
    assert archive.kept_row() == archive.kept
    assert archive.others() == others


@pytest.mark.parametrize("form", _FORMAT_NAMES)
@given(content=st.binary(max_size=400) | st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join))
@examples(25)
def test_files_that_never_were_any(archive: Archive, form: str, content: bytes) -> None:
    """They are refused as a whole, or have no row that is taken."""
    told: list[str] = []
    before = archive.rows()
    try:
        report = import_rows(archive.url, io.BytesIO(content), file_format=form, damaged=told.append)
    except SojournError as error:
        check_error(error)
    else:
        assert report.written == 0
    for each in told:
        check_message(each)
    assert archive.rows() == before


_ODD: Final[dict[str, tuple[object, ...]]] = {
    "kind": ("", "no such", MARK * 100),
    "status": ("", "nonsense"),
    "version": (0, -1, 2**63 - 1),
    "owner": ("", "x" * 100_000, "\u2028"),
    "tags": ([], [""], ["a"] * 5_000, [None]),
    "indexed": (["no such=1"], ["tag=a"] * 50),
    "created_at": ("infinity", "-infinity", "0001-01-01", "9999-12-31T23:59:59.999999Z"),
    "expires_at": ("infinity", "-infinity", "0001-01-01 BC"),
    "ended_at": ("infinity",),
    "ttl": ("-1 day", "0", "100000000 years", "1 mon"),
    "max_lifetime": ("-1 day", "100000000 years"),
    "end_reason": ("x" * 100_000,),
    "archived_at": ("infinity",),
    "tenant": ("", "no/tenant", "x" * 65, "\u0430cme"),
    "data": (
        None, [], "text", 5, {"metadata": []}, {"metadata": {"n": 10**400}}, {"no such": 1}, {"": ""},
        {"metadata": {"deep": json.loads("[" * 900 + "]" * 900)}},
    ),
}  # fmt: skip
"""Values of a session's columns that PostgreSQL takes, and Sojourn never wrote."""
_ODD_FIELDS: Final[tuple[object, ...]] = (
    "", "x", "-1", "1e3", "9" * 30, "[", "[" * 3_000, '{"a":NaN}', "\u2028", "1750000000000.5", None, 5, {},
)  # fmt: skip


def test_what_strangers_files_brought_in(postgres_url: str, any_redis_url: str) -> None:
    """Every such session is read, or told as damaged by a typed error; the others are rehydrated all the same."""
    init(postgres_url)
    settings = load_settings(archive_url=postgres_url, redis_url=any_redis_url, partitions=4)
    with SessionStore(settings=settings, tenant="acme") as store:
        session = store.create(owner="ada", tags=["a"], metadata={"n": 1}, ttl=None)
        archive_once(settings)
        exported = io.BytesIO()
        export_rows(postgres_url, exported, table="sessions", file_format="jsonl", all_tenants=True)
        good = json.loads(exported.getvalue())
        odd: list[dict[str, Any]] = [{name: value} for name, values in _ODD.items() for value in values]
        odd += [{"data": good["data"] | {name: value}} for name in good["data"] for value in _ODD_FIELDS]
        lines = [
            json.dumps(good | each).replace(session.id, str(UUID(int=number, version=4)))
            for number, each in enumerate([{}, *odd])
        ]
        told: list[str] = []
        file = io.BytesIO("".join(f"{each}\n" for each in lines).encode())
        report = import_rows(postgres_url, file, file_format="jsonl", damaged=told.append)
        assert report.read == len(lines)
        assert report.written > 0.9 * len(lines)
        with redis.Redis.from_url(any_redis_url) as raw:
            raw.flushdb()
        back = rehydrate(settings)
        assert back.loaded + back.damaged + back.ended > 0.9 * len(lines)
        assert store.get(str(UUID(int=0, version=4))).owner == "ada"
        assert store.count() <= back.loaded
        found = []
        for row in map(json.loads, lines):
            try:
                view = store.for_tenant(row["tenant"])
            except InvalidName:
                continue
            for look in (view.archive.get, view.archive.history, view.get):
                try:
                    found.append(look(row["id"]))
                except SojournError as error:
                    check_error(error, quotes=True)
        assert len(found) > len(lines)
        assert store.archive.count() > 0.9 * len(lines)
        cursor = None
        while (page := store.archive.list(limit=50, cursor=cursor)).cursor:
            cursor = page.cursor
