"""Export and import: what comes back is what was there, whatever happened on the way."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb
from tests.servers import Databases

from sojourn.archive import init
from sojourn.archive.transfer import FORMATS, TABLES, DamagedFile, export_rows, import_rows
from sojourn.archive.transfer.formats import LONGEST_ROW_BYTES
from sojourn.errors import ArchiveSchemaMismatch, InvalidField, InvalidInput, InvalidName, SettingsError

FORMAT_NAMES = sorted(FORMATS)
DAY = datetime(2024, 2, 29, 12, 30, 1, 234567, tzinfo=UTC)
A, B, C = (f"00000000-0000-4000-8000-00000000000{number}" for number in range(3))
# As PostgreSQL is to take them: JSON texts, since numbers would not survive Python.
NASTY_JSON = [
    '{"big": 123456789012345678901234567890, "e": 1e16, "small": 1.50e-7, "zero": -0.0, "tail": 1.500, "neg": -0}',
    '{"quotes": "\\" \'\' \\\\ , ; \\u0001\\u001f \\u007f\\u2028", "lines": "a\\r\\nb\\nc\\td", "emoji": "😀 ü é"}',
    '{"nested": [[], {}, [null, true, false, "", " "], {"": {"a": []}}]}',
    '"text, not \\"embedded\\""',
    '"\\\\."',
    '""',
    "null",
    "[]",
    "17",
    "[" * 3000 + "]" * 3000,
    '"\\\\N"',
]
NASTY_TEXT = ["", " ", "\\N", "\\.", "NULL", "null", '"', '""', "a,b", "a\r\nb\n", "\n", "\r", "\t\x01\x02\x1f\x7f",
              "😀", "'; DROP TABLE sojourn.sessions; --", "{}", "{a,b}", "\u2028", None]  # fmt: skip
SPANS = ["1 hour", "0", "1 year 2 mons 3 days 04:05:06.789012", "-1 day +02:03:04.000001", "-00:00:00.000001",
         "87600 hours", None]  # fmt: skip
MOMENTS = [DAY, datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
           datetime(1, 1, 1, tzinfo=UTC), DAY.replace(microsecond=100), None]  # fmt: skip
TEXTS = [[], [""], ["a", "b,c", '"', "NULL", "{}", "\\", "😀\n"]]


@pytest.fixture
def here(postgres_url: str) -> str:
    """Give an empty archive to export from."""
    init(postgres_url)
    return postgres_url


@pytest.fixture
def there(databases: Databases, postgres_template: str) -> Iterator[str]:
    """Give an empty archive to import into."""
    name = databases.create(postgres_template)
    init(databases.url(name))
    yield databases.url(name)
    databases.drop(name)


def session(url: str, **values: Any) -> None:
    """Put a session into an archive."""
    row = {
        "tenant": "default", "id": A, "kind": "session", "status": "pending", "version": 1, "tags": [], "indexed": [],
        "created_at": DAY, "updated_at": DAY, "accessed_at": DAY, "data": "{}",
    } | values  # fmt: skip
    put(url, "sessions", row)


def put(url: str, table: str, *rows: dict[str, Any]) -> None:
    """Put rows into an archive's table."""
    statement = sql.SQL("INSERT INTO sojourn.{} ({}) VALUES ({})").format(
        sql.Identifier(TABLES[table].table),
        sql.SQL(", ").join(map(sql.Identifier, rows[0])),
        sql.SQL(", ").join([sql.Placeholder()] * len(rows[0])),
    )
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(statement, [list(row.values()) for row in rows])


def held(url: str, table: str) -> list[str]:
    """Return all that an archive's table holds, as PostgreSQL tells it."""
    names = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in TABLES[table].names)
    with psycopg.connect(url) as connection:
        query = sql.SQL("SELECT {} FROM sojourn.{}").format(names, sql.Identifier(TABLES[table].table))
        return sorted(map(repr, connection.execute(query)))


def fill(url: str) -> None:
    """Put nasty rows into every table."""
    pick: Callable[[list[Any], int], Any] = lambda several, number: several[number % len(several)]  # noqa: E731
    for number in range(40):
        given_id = f"00000000-0000-4000-8000-{number:012d}"
        session(
            url, tenant=pick(["default", "acme"], number), id=given_id, version=2**63 - 1 - number,
            owner=pick(NASTY_TEXT, number), client_type=pick(NASTY_TEXT, number + 7),
            end_reason=pick(NASTY_TEXT, number + 11), tags=pick(TEXTS, number), indexed=pick(TEXTS, number + 1),
            ttl=pick(SPANS, number), max_lifetime=pick(SPANS, number + 1), data=pick(NASTY_JSON, number),
            expires_at=pick(MOMENTS, number), ended_at=pick(MOMENTS, number + 1), archived_at=DAY,
        )  # fmt: skip
        of = {"tenant": "default", "session_id": given_id}
        text = pick(NASTY_TEXT[:-1], number)
        put(url, "entries", {**of, "log": text, "position": number, "entry": pick(NASTY_JSON, number)})
        event = {"id": f"7-{number}-0", "type": text, "kind": "k", "version": number, "at": DAY, "actor": text}
        before = pick([*NASTY_JSON[:6], None], number)
        changes = pick(NASTY_JSON, number)
        put(url, "events", of | event | {"trace_id": text, "changes": changes, "before": before})
        put(url, "snapshots", of | {"version": number, "updated_at": DAY, "data": pick(NASTY_JSON, number)})


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_all_rows_come_back_as_they_were(here: str, there: str, tmp_path: Path, form: str) -> None:
    """Every table, with nasty values, in every format; a second import changes nothing."""
    fill(here)
    for table in TABLES:
        file = tmp_path / f"{table}.{form}"
        assert export_rows(here, file, table=table, all_tenants=True) == 40
        assert import_rows(there, file).to_json() == {"read": 40, "written": 40, "unchanged": 0, "damaged": 0}
        assert held(there, table) == held(here, table)
        assert import_rows(there, file).to_json() == {"read": 40, "written": 0, "unchanged": 40, "damaged": 0}
        assert held(there, table) == held(here, table)


def test_every_column_is_exported(here: str) -> None:
    """The tables have the columns and types that are exported, and no others."""
    with psycopg.connect(here) as connection:
        for table in TABLES.values():
            found = connection.execute(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                (f"sojourn.{table.table}",),
            ).fetchall()
            spoken = {"timestamptz": "timestamp with time zone"}
            assert dict(found) == {each.name: spoken.get(each.kind.value, each.kind.value) for each in table.columns}


def _text() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)


@pytest.mark.no_cover  # many values
def test_any_values_come_back(here: str, there: str) -> None:
    """Whatever the texts and numbers."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text(), inner, max_size=4),
        max_leaves=10,
    )
    moments = st.datetimes(datetime(1, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001
    rows = st.fixed_dictionaries(
        {
            "owner": st.none() | _text(), "client_type": st.none() | _text(), "tags": st.lists(_text(), max_size=3),
            "ttl": st.none() | st.timedeltas(timedelta(-9999), timedelta(9999)), "created_at": moments,
            "expires_at": st.none() | moments, "version": st.integers(-(2**63), 2**63 - 1), "data": values.map(Jsonb),
        }
    )  # fmt: skip

    @given(rows)
    @with_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    def check(row: dict[str, Any]) -> None:
        clear(here)
        session(here, **row)
        for form in FORMAT_NAMES:
            clear(there)
            file = io.BytesIO()
            export_rows(here, file, file_format=form)
            file.seek(0)
            assert import_rows(there, file, file_format=form).written == 1
            assert held(there, "sessions") == held(here, "sessions")

    check()


def clear(url: str) -> None:
    """Empty the sessions."""
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM sojourn.sessions")


def exported(url: str, **filters: Any) -> list[Any]:
    """Return what is exported as JSON lines."""
    file = io.BytesIO()
    count = export_rows(url, file, **filters)
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(rows) == count
    return rows


def test_filters(here: str) -> None:
    """Each filter leaves the sessions that match, and of the other tables the rows of those."""
    session(here, id=A, owner="ada", tags=["x", "y"], status="expired")
    session(here, id=B, kind="mcp", client_type="web", created_at=DAY + timedelta(days=1))
    session(here, id=C, tenant="acme", owner="ada")
    for each in (A, B, "00000000-0000-4000-8000-000000000009"):
        put(here, "entries", {"tenant": "default", "session_id": each, "log": "notes", "position": 0, "entry": "1"})
    chosen: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [A, B]),
        ({"tenant": "acme"}, [C]),
        ({"all_tenants": True}, [A, B, C]),
        ({"all_tenants": True, "owner": "ada"}, [A, C]),
        ({"status": "expired"}, [A]),
        ({"status": ["expired", "pending"]}, [A, B]),
        ({"kind": "mcp"}, [B]),
        ({"client_type": "web"}, [B]),
        ({"tag": "y"}, [A]),
        ({"tag": "'; DROP TABLE sojourn.sessions; --"}, []),
        ({"owner": "\\' OR true --"}, []),
        ({"created_after": DAY + timedelta(microseconds=1)}, [B]),
        ({"created_before": DAY}, [A]),
        ({"created_after": DAY, "created_before": DAY, "owner": "ada", "tag": "x"}, [A]),
    ]
    for filters, ids in chosen:
        assert sorted(each["id"] for each in exported(here, **filters)) == ids, filters
    assert len(exported(here, table="entries")) == 3
    assert [each["session_id"] for each in exported(here, table="entries", owner="ada")] == [A]
    assert exported(here, table="entries", tenant="acme") == []
    for table in ("events", "snapshots"):
        assert exported(here, table=table, owner="ada", all_tenants=True) == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"table": "pg_authid"}, InvalidInput),
        ({"tenant": "a", "all_tenants": True}, InvalidInput),
        ({"tenant": "a b"}, InvalidName),
        ({"kind": "';"}, InvalidName),
        ({"status": "gone"}, InvalidField),
        ({"status": []}, InvalidField),
        ({"owner": "\x00"}, InvalidField),
        ({"tag": "\ud800"}, InvalidField),
        ({"created_after": datetime(2024, 1, 1)}, InvalidField),  # noqa: DTZ001
        ({"file_format": "xml"}, InvalidInput),
    ],
)
def test_bad_arguments(here: str, tmp_path: Path, wrong: dict[str, Any], error: type[Exception]) -> None:
    """Each is refused before a file is there."""
    with pytest.raises(error):
        export_rows(here, tmp_path / "a.csv", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_bad_places(here: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that cannot be, suffixes that tell nothing, no archive, no tables."""
    for place in (tmp_path / "a.txt", tmp_path / "none" / "a.csv", tmp_path):
        with pytest.raises(InvalidInput):
            export_rows(here, place, file_format=None if place.suffix == ".txt" else "csv")
        with pytest.raises((InvalidInput, OSError)):
            import_rows(here, place, file_format=None if place.suffix == ".txt" else "csv")
    monkeypatch.delenv("SOJOURN_ARCHIVE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError):
        export_rows(None, tmp_path / "a.csv")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP SCHEMA sojourn CASCADE")
    with pytest.raises(ArchiveSchemaMismatch):
        export_rows(here, tmp_path / "a.csv")
    with pytest.raises(ArchiveSchemaMismatch):
        import_rows(here, io.BytesIO())


def test_the_file_is_private_and_replaced_when_whole(here: str, tmp_path: Path) -> None:
    """Mode 0600; through a link, the file that it leads to; a device is written to."""
    session(here)
    real = tmp_path / "real.csv"
    real.write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to(real)
    export_rows(here, link)
    assert link.is_symlink()
    assert real.read_text().startswith("tenant,id,")
    assert real.stat().st_mode & 0o777 == 0o600
    assert export_rows(here, "/dev/null", file_format="csv") == 1
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_an_export_that_fails_leaves_nothing(here: str, tmp_path: Path, form: str) -> None:
    """Neither a file nor a part of one, and an older file is as it was."""
    session(here)
    file = tmp_path / f"a.{form}"
    file.write_text("old")

    def fail(done: int, total: int | None) -> None:
        assert (done, total) == (1, 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_rows(here, file, progress=fail)
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "old"


def test_one_moment(here: str, tmp_path: Path) -> None:
    """What is written while an export runs is not in it."""
    put(
        here, "entries",
        *({"tenant": "default", "session_id": A, "log": "l", "position": number, "entry": f'"{"x" * 1000}"'}
          for number in range(1000)),
    )  # fmt: skip
    changed: list[int] = []

    def meddle(done: int, total: int | None) -> None:
        assert total == 1000
        if not changed:
            changed.append(done)
            with psycopg.connect(here) as connection:
                connection.execute("DELETE FROM sojourn.session_entries")

    assert export_rows(here, tmp_path / "a.jsonl", table="entries", progress=meddle) == 1000
    assert changed[0] < 1000


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_older_never_overwrites_newer(here: str, there: str, form: str) -> None:
    """Sessions by (updated_at, version), entries by when they were archived; the newer ones do overwrite."""
    session(here, version=5, updated_at=DAY, owner="file")
    entry = {"tenant": "default", "session_id": A, "log": "l", "position": 0}
    put(here, "entries", {**entry, "entry": '"file"', "archived_at": DAY})
    files: dict[str, BinaryIO] = {table: io.BytesIO() for table in ("sessions", "entries")}
    for table, file in files.items():
        export_rows(here, file, table=table, file_format=form)

    def written(table: str) -> int:
        files[table].seek(0)
        return import_rows(there, files[table], file_format=form).written

    for version, later, count in ((6, 0, 0), (4, 1, 0), (5, 0, 0), (4, 0, 1), (9, -1, 1)):
        clear(there)
        assert held(there, "snapshots") == []
        session(there, version=version, updated_at=DAY + timedelta(microseconds=later), owner="held")
        before = held(there, "sessions")
        assert written("sessions") == count
        assert held(there, "sessions") == (held(here, "sessions") if count else before)
    with psycopg.connect(there) as connection:  # that of the last one, whose version was higher
        assert connection.execute("SELECT version FROM sojourn.session_snapshots").fetchall() == [(9,)]
    put(there, "entries", {**entry, "entry": '"held"', "archived_at": DAY + timedelta(microseconds=1)})
    assert written("entries") == 0
    with psycopg.connect(there) as connection:
        connection.execute("UPDATE sojourn.session_entries SET archived_at = %s", (DAY - timedelta(1),))
    assert written("entries") == 1
    assert held(there, "entries") == held(here, "entries")


def lines(url: str, form: str) -> list[bytes]:
    """Return the lines of an export of 20 sessions."""
    for number in range(20):
        session(url, id=f"00000000-0000-4000-8000-{number:012d}", owner="a\nb" if number == 5 else "ada")
    file = io.BytesIO()
    export_rows(url, file, file_format=form)
    return file.getvalue().splitlines(keepends=True)


DAMAGES: dict[str, list[tuple[str, Callable[[bytes], bytes]]]] = {
    "csv": [
        ("a quote too few", lambda line: b'"' + line),
        ("cells instead of", lambda line: b"a," + line),
        ("is no CSV", lambda line: b'a"b"c\n'),
        ("not UTF-8", lambda line: line.replace(b"ada", b"\xff")),
        ("no JSON array", lambda line: line.replace(b"[]", b"{[")),
        ("refused by PostgreSQL", lambda line: line.replace(b"{}", b"{")),
        ("refused by PostgreSQL", lambda line: line.replace(b"ada", b"\x00")),
        ("refused by PostgreSQL", lambda line: line.replace(b"pending", b"")),
        ("refused by PostgreSQL", lambda line: line.replace(b"-4000-", b"-4x00-")),
    ],
    "jsonl": [
        ("is no JSON", lambda line: b"{" + line),
        ("is no JSON", lambda line: line[:-1] + b"," + line),
        ("is no JSON", lambda line: line.replace(b"ada", b"\x00")),
        ("not UTF-8", lambda line: line.replace(b"ada", b"\xff")),
        ("has not the columns", lambda line: b"[1]\n"),
        ("has not the columns", lambda line: line.replace(b"owner", b"0wner")),
        ("has not the columns", lambda line: line.replace(b'"sessions"', b'"events"')),
        ("has not the columns", lambda line: b"[" * 100_000 + b"\n"),
        ("refused by PostgreSQL", lambda line: line.replace(b":{}", b":" + b"[" * 100_000)),
        ("refused by PostgreSQL", lambda line: line.replace(b"ada", b"\\u0000")),
        ("refused by PostgreSQL", lambda line: line.replace(b'"pending"', b"null")),
        ("refused by PostgreSQL", lambda line: line.replace(b'"version":1', b'"version":1e30')),
    ],
}


@pytest.mark.parametrize(
    ("form", "problem", "damage"), [(form, *each) for form, several in DAMAGES.items() for each in several]
)
def test_damaged_lines(here: str, there: str, form: str, problem: str, damage: Callable[[bytes], bytes]) -> None:
    """A damaged line costs itself only, is told by its number and without its values, and stops a strict import."""
    found = lines(here, form)
    at = next(number for number, line in enumerate(found) if b"-000000000010" in line)
    found[at] = damage(found[at])
    file = io.BytesIO(b"".join(found))
    told: list[str] = []
    report = import_rows(there, file, file_format=form, damaged=told.append)
    assert report.to_json() == {"read": 20, "written": 19, "unchanged": 0, "damaged": 1}
    assert told[0].startswith(f"line {at + 1} ")
    assert problem in told[0]
    assert "ada" not in told[0]
    clear(there)
    file.seek(0)
    with pytest.raises(DamagedFile, match=f"line {at + 1} ") as stopped:
        import_rows(there, file, file_format=form, strict=True)
    assert stopped.value.number == at + 1
    assert len(held(there, "sessions")) == 10


def test_files_that_were_cut_off(here: str, there: str) -> None:
    """Wherever it happened in a row, it is told."""
    for form, least in (("csv", 1), ("jsonl", 2)):
        file = b"".join(lines(here, form))
        clear(here)
        last = file.rindex(b"\n", 0, -1) + 1
        for end in range(last + 1, len(file) - least + 1, 4):
            told: list[str] = []
            report = import_rows(there, io.BytesIO(file[:end]), file_format=form, damaged=told.append)
            assert (report.read, report.damaged) == (20, 1)
            assert "cut off" in told[0]
        clear(there)


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_files_of_something_else(there: str, form: str) -> None:
    """Noise, and files of other tables, are told in one line, or as damaged rows."""
    for noise in (b"a,b\n1,2\n", b"{}\n", os.urandom(1000), b'\xef\xbb\xbf"tenant\n' * 3, b"PAR1" * 10):
        try:
            report = import_rows(there, io.BytesIO(noise), file_format=form)
        except DamagedFile:
            continue
        assert report.damaged == report.read >= 1


def test_damaged_parquet(here: str, there: str) -> None:
    """A flipped bit is noticed; a file without its end, or with other columns, is refused."""
    import pyarrow
    from pyarrow import parquet

    lines(here, "csv")
    file = io.BytesIO()
    export_rows(here, file, file_format="parquet")
    whole = file.getvalue()
    for broken in (whole[:-100], whole[: len(whole) // 2], b""):
        with pytest.raises(DamagedFile, match="no whole Parquet file"):
            import_rows(there, io.BytesIO(broken), file_format="parquet")
    middle = whole.index(b"\x28\xb5\x2f\xfd") + 9
    told: list[str] = []
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    report = import_rows(there, io.BytesIO(flipped), file_format="parquet", damaged=told.append)
    assert report.to_json() == {"read": 20, "written": 0, "unchanged": 0, "damaged": 20}
    assert told[0].startswith("row 1 and up to row 20 cannot be read")
    other = io.BytesIO()
    parquet.write_table(pyarrow.table({"a": [1]}), other)
    with pytest.raises(DamagedFile, match="columns"):
        import_rows(there, other, file_format="parquet")
    table = parquet.read_table(io.BytesIO(whole))
    shuffled = io.BytesIO()
    parquet.write_table(table.select(sorted(table.column_names)), shuffled)
    assert import_rows(there, shuffled, file_format="parquet").written == 20
    assert held(there, "sessions") == held(here, "sessions")


def test_edited_files(here: str, there: str) -> None:
    """Other line ends, a mark of byte order, other orders of columns, empty lines, several tables in one file."""
    csv = b"".join(lines(here, "csv"))
    text = b"\xef\xbb\xbf" + csv.replace(b"\n", b"\r\n").replace(b"a\r\nb", b"a\nb")
    assert import_rows(there, io.BytesIO(text), file_format="csv").written == 20
    assert held(there, "sessions") == held(here, "sessions")
    put(here, "entries", {"tenant": "default", "session_id": A, "log": "l", "position": 0, "entry": "1"})
    both = io.BytesIO()
    for table in ("sessions", "entries"):
        export_rows(here, both, table=table)
    lined = [json.loads(line) for line in both.getvalue().splitlines()]
    mixed = [json.dumps(dict(sorted(each.items(), reverse=True)), indent=None) for each in reversed(lined)]
    clear(there)
    report = import_rows(there, io.BytesIO("\n\n".join(mixed).encode()))
    assert report.to_json() == {"read": 21, "written": 21, "unchanged": 0, "damaged": 0}
    assert held(there, "sessions") == held(here, "sessions")
    assert held(there, "entries") == held(here, "entries")


def test_the_same_session_twice_in_a_file(here: str, there: str) -> None:
    """The newer state is taken, in whatever order they come."""
    file = io.BytesIO()
    for version in (2, 3, 1):
        clear(here)
        session(here, version=version)
        export_rows(here, file)
    clear(here)
    session(here, version=3)
    file.seek(0)
    assert import_rows(there, file).to_json() == {"read": 3, "written": 1, "unchanged": 2, "damaged": 0}
    with psycopg.connect(there) as connection:
        assert connection.execute("SELECT version FROM sojourn.sessions").fetchall() == [(3,)]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_endless_lines(here: str, there: str, form: str) -> None:
    """A line that does not end is not read into memory, and the next one is."""
    found = lines(here, form)
    header = found[0] if form == "csv" else b""
    long = header + b"x" * (LONGEST_ROW_BYTES + 10) + b"\n" + found[-1]
    told: list[str] = []
    report = import_rows(there, io.BytesIO(long), file_format=form, damaged=told.append)
    assert report.to_json() == {"read": 2, "written": 1, "unchanged": 0, "damaged": 1}
    assert "longer than 64 MiB" in told[0]


# Not getrusage's ru_maxrss: a process inherits that from the one that started it, which here is the larger.
_MEASURE = """
import re, sys
from pathlib import Path
from sojourn.archive.transfer import FORMATS, export_rows, import_rows
from sojourn.archive.transfer.formats import Source
what, url, file, tenant = sys.argv[1:]
if what == "export":
    export_rows(url, file, table="entries", tenant=tenant)
elif what == "import":
    import_rows(url, file)
else:
    kept = list(FORMATS[Path(file).suffix[1:]].read(Source(open(file, "rb"))))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
_SLACK_KIB = 24_000


@pytest.mark.parametrize("form", FORMAT_NAMES)
def test_memory_does_not_grow_with_the_rows(here: str, there: str, tmp_path: Path, form: str) -> None:
    """60,000 rows of 1 KB take no more than a tenth of them; of Parquet, which gathers row groups, than a third."""
    few = 20_000 if form == "parquet" else 6_000
    with psycopg.connect(here) as connection:
        connection.execute(
            "INSERT INTO sojourn.session_entries (tenant, session_id, log, position, entry) "
            "SELECT tenant, gen_random_uuid(), 'l', number, to_jsonb("
            "(SELECT string_agg(md5(number || '-' || part), '') FROM generate_series(1, 31) AS part)) "
            "FROM (VALUES ('few', %s), ('many', 60000)) AS size (tenant, rows), generate_series(1, rows) AS number",
            (few,),
        )

    def peak_kib(what: str, tenant: str) -> int:
        url = here if what == "export" else there
        command = [sys.executable, "-c", _MEASURE, what, url, str(tmp_path / f"{tenant}.{form}"), tenant]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    for what in ("export", "import"):
        smaller, larger = peak_kib(what, "few"), peak_kib(what, "many")
        assert larger - smaller < _SLACK_KIB, (what, smaller, larger)
    # The measure would tell: rows that are kept take more.
    assert peak_kib("keep", "many") - peak_kib("keep", "few") > _SLACK_KIB


def test_without_pyarrow() -> None:
    """What to install is told."""
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from sojourn.archive.transfer import export_rows; export_rows('postgresql://h/x', 'a.parquet')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sojourn.errors.SojournError: Parquet needs pyarrow")
    assert "pip install 'sojourn[parquet]'" in last
