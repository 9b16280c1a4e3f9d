"""``archive export`` and ``archive import``."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.servers import Databases
from tests.store.cli.conftest import Run, Start
from tests.waiting import eventually

from sojourn.archive import init
from sojourn.archive.transfer import FORMATS


@pytest.fixture
def here(run: Run, store: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give an archive with three sessions of two tenants, which the settings name."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    run("archive", "init")
    store.create(owner="ada", tags=["x"])
    store.create(owner="bob", metadata={"a": 'line\n"quoted"'})
    run("create", "--tenant", "acme", "--owner", "ada")
    run("archive", "run")
    return postgres_url


@pytest.fixture
def there(databases: Databases, postgres_template: str) -> Iterator[str]:
    """Give an empty archive to import into."""
    name = databases.create(postgres_template)
    init(databases.url(name))
    yield databases.url(name)
    databases.drop(name)


def held(url: str) -> list[tuple[Any, ...]]:
    """Return the sessions of an archive."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT sessions::text FROM sojourn.sessions ORDER BY 1").fetchall()


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_files(run: Run, here: str, there: str, tmp_path: Path, form: str) -> None:
    """Out into a file and into another archive, with counts for people and for programs."""
    file = str(tmp_path / f"a.{form}")
    assert "rows" in run("archive", "export", file).out
    report = {"table": "sessions", "rows": 3, "file": file}
    assert run("archive", "export", file, "--all-tenants", "--json").json == report
    counts = run("archive", "import", file, "--json", "--archive-url", there).json
    assert counts == {"read": 3, "written": 3, "unchanged": 0, "damaged": 0, "dry_run": False}
    assert held(there) == held(here)
    assert "unchanged" in run("archive", "import", file, "--archive-url", there).out
    assert run("archive", "list", "--all", "--json", "--archive-url", there).json["sessions"]


def test_filters_and_standard_output(run: Run, here: str) -> None:
    """The filters of lists; JSON lines by default; every table."""
    assert [each["owner"] for each in run("archive", "export", "--owner", "ada").json_lines] == ["ada"]
    assert len(run("archive", "export", "--owner", "ada", "--all-tenants").json_lines) == 2
    assert len(run("archive", "export", "--tenant", "acme").json_lines) == 1
    assert run("archive", "export", "--tag", "x", "--created-after", "1h", "--status", "pending").out.count("\n") == 1
    assert run("archive", "export", "--kind", "other").out == ""
    events = run("archive", "export", "-", "--table", "events", "--owner", "bob").json_lines
    assert [each["type"] for each in events] == ["created"]
    for named in (("--format", "csv"), ("--output", "csv")):
        assert run("archive", "export", *named, "--table", "entries").out.startswith("tenant,session_id,log,")
    assert run("archive", "export", "--format", "jsonl", "--output", "csv").out.startswith("{")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_from_process_to_process(start: Start, here: str, there: str, form: str) -> None:
    """Through a pipe, in every format."""
    giving = start("archive", "export", "--all-tenants", "--format", form)
    taking = start("archive", "import", "-", "--json", "--format", form, "--archive-url", there, stdin=giving.stdout)
    assert giving.stdout is not None
    giving.stdout.close()
    assert taking.communicate(timeout=60) == (
        '{"read": 3, "written": 3, "damaged": 0, "unchanged": 0, "dry_run": false}\n',
        "",
    )
    assert giving.stderr is not None
    assert (giving.wait(60), giving.stderr.read()) == (0, "")
    giving.stderr.close()
    assert held(there) == held(here)


def test_damaged_rows(run: Run, here: str, there: str, tmp_path: Path) -> None:
    """Exit code 5, with the number of the line and without its values, whether the others are taken or not."""
    file = tmp_path / "a.jsonl"
    run("archive", "export", str(file), "--all-tenants")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + "{broken\n" + lines[1] + lines[2][:-5])
    done = run("archive", "import", str(file), "--json", "--archive-url", there, code=5)
    assert done.json == {"read": 4, "written": 2, "unchanged": 0, "damaged": 2, "dry_run": False}
    told = [json.loads(line)["error"] for line in done.err.splitlines()]
    assert told == [
        {"code": "damaged_row", "message": "line 2 is no JSON"},
        {"code": "damaged_row", "message": "line 4 is cut off: the file ends in it"},
    ]
    stopped = run("archive", "import", str(file), "--strict", "--archive-url", there, code=5)
    assert "line 2 is no JSON" in stopped.err
    assert stopped.out == ""
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert "no whole Parquet file" in run("archive", "import", str(tmp_path / "a.parquet"), code=5).err


def test_misuse(run: Run, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tells in one line what is wrong."""
    for wrong, told, code in (
        (["export", "--tenant", "a", "--all-tenants"], "exclude each other", 2),
        (["export", "a.txt"], "tells no format", 2),
        (["export", "none/a.csv"], "no directory", 2),
        (["export", "--table", "pg_authid"], "pg_authid", 2),
        (["import", "none.csv"], "no file none.csv", 2),
        (["import", "."], "suffix", 2),
        (["import"], "FILE", 2),
    ):
        failed = run("archive", *wrong, code=code)
        assert told in failed.err
        assert failed.err.count("\n") == 1
    assert "whatever the sessions hold" in " ".join(run("archive", "export", "--help").out.split())
    monkeypatch.delenv("SOJOURN_ARCHIVE_URL")
    for command in (["export"], ["import", "a.csv"]):
        assert "archive_url is not set" in run("archive", *command, code=2).err
    assert list(tmp_path.glob("*.csv")) == []


def many(url: str, rows: int) -> None:
    """Put many log entries into an archive."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO sojourn.session_entries (tenant, session_id, log, position, entry) "
            "SELECT 'default', gen_random_uuid(), 'l', number, to_jsonb(repeat('x', 1000)) "
            "FROM generate_series(1, %s) AS number",
            (rows,),
        )


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_whoever_reads_has_seen_enough(start: Start, here: str, form: str) -> None:
    """A closed pipe ends an export quietly."""
    many(here, 5_000)
    process = start("archive", "export", "--table", "entries", "--format", form)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_interrupted(start: Start, here: str, tmp_path: Path) -> None:
    """Ctrl-C leaves neither a file nor a part of one."""
    many(here, 100_000)
    folder = tmp_path / "out"
    folder.mkdir()
    process = start("archive", "export", "--table", "entries", str(folder / "a.csv"))
    eventually(lambda: any(each.stat().st_size for each in folder.iterdir()), what="a part of the file")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "\n")
    assert process.returncode == 130
    assert list(folder.iterdir()) == []


def shown_on_terminal(start: Start, *args: str, **options: Any) -> str:
    """Run a command whose stderr is a terminal; return what that shows."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(ours, 65_536):
                shown.append(part)
        except OSError:  # its other end is closed
            return

    process = start(*args, stderr=theirs, **options)
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    process.communicate(timeout=60)
    reader.join(60)
    os.close(ours)
    assert process.returncode == 0, b"".join(shown)
    return b"".join(shown).decode()


def test_progress(start: Start, here: str, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar on stderr where that is a terminal, with the total; the output is as it was."""
    monkeypatch.setenv("TERM", "xterm")
    many(here, 3_000)
    file = str(tmp_path / "a.csv")
    assert "3000/3000" in shown_on_terminal(start, "archive", "export", "--table", "entries", file)
    assert "importing" in shown_on_terminal(start, "archive", "import", file, "--archive-url", there)
    with (tmp_path / "b.csv").open("w") as output:
        options = {"stdout": output}
        shown = shown_on_terminal(start, "archive", "export", "--table", "entries", "--format", "csv", **options)
    assert "exporting" in shown
    assert (tmp_path / "b.csv").read_text() == Path(file).read_text()
    assert subprocess.run(["grep", "-c", "exporting", file], check=False, capture_output=True).stdout == b"0\n"


@pytest.mark.parametrize("command", [["list"], ["list", "--ids"], ["audit"]], ids=" ".join)
def test_progress_of_lists(
    start: Start, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """All pages into a file are counted on the terminal; into a pipe, whose reader may write there, they are not."""
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "out").open("w") as output:
        assert "listing" in shown_on_terminal(start, *command, "--all", stdout=output)
    with (tmp_path / "one").open("w") as output:
        assert "listing" not in shown_on_terminal(start, *command, stdout=output)
    assert "listing" not in shown_on_terminal(start, *command, "--all")
    out, one = ((tmp_path / name).read_text().splitlines() for name in ("out", "one"))
    assert [line[:36] for line in out] == [line[:36] for line in one] != []
