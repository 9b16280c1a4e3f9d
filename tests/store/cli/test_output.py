"""Formats of output: streams, CSV that is no formula, errors as JSON, colours, and what a shell completes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner
from tests.store.cli.conftest import Run, Start

from sojourn.cli import cli
from sojourn.cli.grid import Table
from sojourn.cli.output import Cell, Column
from sojourn.cli.schemas import adapter
from sojourn.cli.shared import Command
from sojourn.cli.spreadsheet import told
from sojourn.cli.state import State
from sojourn.cli.telling import View, tell_each, tell_list

EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1")


def test_no_cell_is_a_formula(run: Run, store: Any) -> None:
    """A text that a spreadsheet would take for one is told as text; numbers stay numbers."""
    for text in EVIL:
        assert told(text) == f"'{text}"
    assert (told(-1), told(1.5), told(None), told(False), told("a=b")) == ("-1", "1.5", "", "false", "a=b")
    store.create(owner="=HYPERLINK(1)", tags=["-a"], metadata={"=x": 1})
    (row,) = csv.DictReader(io.StringIO(run("list", "-o", "csv").out, newline=""))
    assert row["owner"] == "'=HYPERLINK(1)"
    assert (row["tags"], row["metadata"]) == ('["-a"]', '{"=x": 1}')
    assert json.loads(row["version"]) == 1


def test_fields_of_several_kinds(run: Run, store: Any) -> None:
    """Nothing is left out of CSV: what has no column of its own is in the last one."""
    run("create", "--kind", "documentation", "--set", "workspace_id=w1", "--set", "module_name=m")
    store.create(owner="newest")
    newest, older = csv.DictReader(io.StringIO(run("list", "-o", "csv").out, newline=""))
    assert (newest["owner"], newest["more"]) == ("newest", "")
    assert json.loads(older["more"])["workspace_id"] == "w1"
    (only,) = csv.DictReader(io.StringIO(run("list", "--kind", "documentation", "-o", "csv").out, newline=""))
    assert (only["workspace_id"], only["more"]) == ("w1", "")


def test_no_csv_steers_a_terminal(run: Run, store: Any) -> None:
    """What is piped keeps its line breaks, quoted; nothing else of control survives JSON cells."""
    store.create(client_type='a"b,\nc', metadata={"x": "\x1b[31m"})
    (row,) = csv.DictReader(io.StringIO(run("list", "-o", "csv").out, newline=""))
    assert row["client_type"] == 'a"b,\nc'
    assert "\x1b" not in row["metadata"]


@pytest.mark.parametrize("output", ["json", "csv", "table"])
@pytest.mark.parametrize("kind", ["list", "each"])
def test_streams(output: Any, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A thing is printed before the next is read (of tables: a thousand), so memory does not grow with their number."""
    state = State(output=output)
    view: View[int] = View(lambda each: {"a": each}, (Column("A"),), lambda each: [Cell(str(each))])
    seen: list[str] = []

    def numbers() -> Iterator[int]:
        for number in range(2_500):
            yield number
            if number == 2_100:
                seen.append(capsys.readouterr().out)

    with click.Context(Command("x")):
        if kind == "list":
            tell_list(state, "things", numbers(), view, cursor=lambda: "there")
        else:
            assert tell_each(state, numbers(), view.to_json, view.row) == 2_500
    first, rest = seen[0], capsys.readouterr().out
    assert len(first.split()) >= 1_000
    if output == "json" and kind == "list":
        assert json.loads(first + rest) == {"things": [{"a": each} for each in range(2_500)], "cursor": "there"}
    elif output == "json":
        assert [json.loads(line)["a"] for line in (first + rest).splitlines()] == list(range(2_500))
    else:
        assert [int(line) for line in (first + rest).split() if line.isdigit()] == list(range(2_500))


def test_a_list_that_is_cut_short_is_not_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads the JSON of a list in whose middle Redis went away cannot take it for all."""

    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("away")

    view: View[int] = View(lambda each: {"a": each}, (), lambda _: [])
    with click.Context(Command("x")), pytest.raises(OSError, match="away"):
        tell_list(State(output="json"), "things", numbers(), view)
    with pytest.raises(ValueError):
        json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["get", "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b", "--json"], 1, "session_not_found"),
        (["get", "x", "-o", "json"], 2, "invalid_id"),
        (["--output=json", "nonsense"], 2, "usage"),
        (["list", "--nonsense", "--json"], 2, "usage"),
        (["--json", "create", "--kind", "nope"], 2, "invalid_name"),
        (["token", "verify", "--json"], 1, "token_invalid"),
        (["config", "--redis-url", "http://x", "--json"], 2, "settings_error"),
    ],
)
def test_errors_as_json(run: Run, words: list[str], code: int, told: str) -> None:
    """One object on stderr, as documented; also where the line itself is no good."""
    failed = run(*words, code=code, stdin="x")
    assert failed.out == ""
    error = json.loads(failed.err)["error"]
    adapter("Error").validate_python(error)
    assert error["code"] == told
    if told == "session_not_found":
        assert (error["session"], error["tenant"]) == (words[1], "default")


def test_formats_exclude_ids(run: Run) -> None:
    """Ids alone have no format; and of two formats the one nearer to the end counts."""
    run("list", "--ids", "-o", "csv", code=2)
    assert run("--json", "list", "-o", "table").err == "no sessions\n"
    assert run("list", "-o", "csv", "--json").json == {"sessions": [], "cursor": None}


def test_colours(run: Run, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never where stdout is no terminal, unless that is asked for; NO_COLOR has the last word."""
    store.create()
    assert "\x1b" not in run("events").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32mcreated" in run("events").out
    assert "\x1b[33mpending" in run("list").out
    assert "\x1b" not in run("list", "--json").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("events").out + run("list").out


def test_brief_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Times are told exactly where there is room, and in words alone where there is none."""
    monkeypatch.setattr("sojourn.cli.grid.on_terminal", lambda: True)
    for width, shown in (("60", "3 min ago (exact)"), ("20", "3 min ago")):
        monkeypatch.setenv("COLUMNS", width)
        Table((Column("ID"), Column("AT"))).add([[Cell("x" * 8), Cell("3 min ago (exact)", brief="3 min ago")]])
        assert capsys.readouterr().out.splitlines()[1] == f"{'x' * 8}  {shown}"


def test_lines_are_brief_where_there_is_no_room(run: Run, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event fits a terminal of 80 columns, by the beginning of its session's id; a pipe has it whole."""
    made = store.create()
    monkeypatch.setenv("COLUMNS", "80")
    assert made.id in run("events").out
    monkeypatch.setattr("sojourn.cli.output.on_terminal", lambda: True)
    (line,) = run("events").out.splitlines()
    assert f"  {made.id[:8]}  " in line
    assert len(line) <= 80
    monkeypatch.setenv("COLUMNS", "200")
    assert made.id in run("events").out


@pytest.mark.parametrize(("shell", "told"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")])
def test_completion_scripts(run: Run, shell: str, told: str) -> None:
    """Each shell has its own; bash takes it where there is one."""
    script = run("completion", shell).out
    assert told in script
    assert "_SOJOURN_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def completed(line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what bash would be offered at the end of a line."""
    words = line.split(" ")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_SOJOURN_COMPLETE", "bash_complete")
    ran = CliRunner().invoke(cli, [], prog_name="sojourn", complete_var="_SOJOURN_COMPLETE")
    assert ran.stderr == ""
    return [each.partition(",")[2] for each in ran.stdout.splitlines() if each]


@pytest.mark.usefixtures("own_models")
def test_completion(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, options, choices, and what Redis has: ids, tenants, kinds, groups, hooks."""
    monkeypatch.setenv("SOJOURN_HOOKS", '{"mail": {"events": ["created"], "function": "a:b"}}')
    made = store.create(owner="ada").id
    store.for_tenant("acme").create()
    list(store.events("billing", limit=1, timeout=0.001))
    for line, wanted in (
        ("sojourn cr", ["create"]), ("sojourn tenant li", ["list", "limits"]), ("sojourn list --stat", ["--status"]),
        ("sojourn list --status pe", ["pending"]), (f"sojourn get {made[:4]}", [made]), ("sojourn get ", [made]),
        ("sojourn list --tenant ac", ["acme"]), ("sojourn create --kind jo", ["job"]), ("sojourn -o j", ["json"]),
        ("sojourn tenant show a", ["acme"]), ("sojourn events --group b", ["billing"]),
        ("sojourn dead list --hook m", ["mail"]), ("sojourn completion z", ["zsh"]),
    ):  # fmt: skip
        assert completed(line, monkeypatch) == wanted, line
    assert completed("sojourn --tenant acme get ", monkeypatch) != [made]


def test_completion_is_silent_and_quick(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Redis nothing is offered, nothing is said, and nobody waits."""
    for url in (f"redis://127.0.0.1:{free_port}/0", "redis://10.255.255.1:6379/0", "http://x"):
        monkeypatch.setenv("SOJOURN_REDIS_URL", url)
        began = time.monotonic()
        assert completed("sojourn get 0b0e", monkeypatch) == []
        assert time.monotonic() - began < 5


def test_completion_as_the_shell_asks(start: Start, store: Any) -> None:
    """The installed command answers, as a process."""
    made = store.create().id
    asking = {"_SOJOURN_COMPLETE": "zsh_complete", "COMP_WORDS": f"sojourn get {made[:6]}", "COMP_CWORD": "2"}
    out, err = start(env={**os.environ, **asking}).communicate(timeout=60)
    assert made in out
    assert err == ""
    assert sys.executable
