"""The documentation of the checks is that of the code, and every command that a finding tells exists."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
import redis

import sojourn.doctor
from sojourn.archive import init
from sojourn.cli import cli
from sojourn.doctor import CHECKS
from sojourn.doctor.finding import SEVERITIES

ROOT = Path(__file__).parents[3]
PACKAGE = Path(sojourn.doctor.__file__).parent
REFERENCE = ROOT / "docs/reference/doctor.md"


def _rows() -> list[str]:
    return [
        f"| `{each.name}` | {each.worst} | {each.what} | {each.why} | {each.fixes or 'no'} |" for each in CHECKS
    ]  # fmt: skip


def test_the_reference_lists_every_check() -> None:
    """Its table is the one that the checks make, row for row; paste what is missing from here."""
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    assert [line for line in rows if line.startswith(tuple(f"| `{each.name}` " for each in CHECKS))] == _rows()


def test_checks_are_told_apart_and_documented() -> None:
    """Names are unique and fit for a command line; each check says what, why, how bad, and what --fix does."""
    names = [each.name for each in CHECKS]
    assert len(set(names)) == len(names)
    for each in CHECKS:
        assert each.name == each.name.lower().replace(" ", "-")
        assert each.what
        assert each.why
        assert each.worst in SEVERITIES
        assert bool(each.fix) == bool(each.fixes)
        assert each.looks.__doc__


def _texts() -> Iterator[str]:
    """Every text of the package's code, with `x` for what is put into it."""
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text())
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(str(each.value) if isinstance(each, ast.Constant) else "x" for each in node.values)


SOJOURN = sorted({each for each in _texts() if each.startswith("sojourn ")})
PSQL = sorted({each for each in _texts() if each.startswith("psql ")})


@pytest.mark.parametrize("line", SOJOURN)
def test_commands_of_ours_exist(line: str) -> None:
    """Each is parsed by the command that it names."""
    _, *words = shlex.split(line)
    words = ["listen" if before == "--role" and word == "x" else word for before, word in zip(["", *words], words)]  # noqa: B905
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, line
        command, words = found, words[1:]
    command.make_context(command.name, words, parent=context)


def _redis_calls() -> Iterator[list[str]]:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "redis_cli":
                yield [str(each.value) if isinstance(each, ast.Constant) else "x" for each in node.args]
    for text in _texts():
        if text.startswith("x ") and text.split()[1:2] and text.split()[1].isupper():
            yield text.removeprefix("x ").split()


def test_commands_of_redis_exist(redis_url: str) -> None:
    """Redis knows each, and each of their subcommands, in every version."""
    calls = [each for each in _redis_calls() if each[0] != "x"]
    assert len(calls) > 20
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        known: Any = client.command()
        for name, *rest in calls:
            assert name.lower() in known, name
            if name in ("CONFIG", "ACL", "XGROUP", "MEMORY", "SCRIPT"):
                help_: Any = client.execute_command(name, "HELP")
                assert any(line.split(" ")[0].lower() == rest[0].lower() for line in help_), (name, rest)


def test_commands_of_postgres_can_be_run(postgres_url: str) -> None:
    """Their SQL is good, but for the names that are put into it."""
    init(postgres_url)
    assert PSQL
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for line in PSQL:
            *_, statement = shlex.split(line)
            connection.execute(statement.replace("sojourn.x", "sojourn.sessions"))
