"""Every command of the command line with odd arguments: an exit code that is documented, and no traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import redis
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.drivers import snapshot
from tests.fuzz.hostile import TEXTS
from tests.fuzz.profile import examples

from sojourn import SessionStore
from sojourn.cli import cli, doctor, failures

_CODES: Final = {
    0,
    failures.NOT_FOUND,
    failures.USAGE,
    failures.CONFLICT,
    failures.UNAVAILABLE,
    failures.DAMAGED,
    failures.INTERRUPTED,
    doctor.WARNED,
    doctor.WRONG,
}
_LONGEST_LINE: Final = 8_000
_NOT_RUN: Final = {"shell", "top", "watch", "worker"}
"""Run until they are stopped; the shell runs any code."""
_WAITS: Final = ("--follow", "-f", "--watch")
"""What makes a command wait for more."""
_ODD: Final = [
    each for each in TEXTS if isinstance(each, str) and "\x00" not in each and "/" not in each and len(each) < 3_000
]
_WORDS: Final = st.sampled_from(
    [
        *_ODD,
        "10",
        "1h",
        "never",
        "none",
        "2026-01-01T00:00:00Z",
        "text=new",
        '{"a": 1}',
        "pending",
        "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77",
    ]
)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif name not in _NOT_RUN:
            yield (*path, name), command


COMMANDS: Final = dict(commands(cli))


@st.composite
def lines(draw: st.DrawFn, command: click.Command) -> list[str]:
    """A command line: some of its options, and words for its arguments."""
    words: list[str] = []
    for each in command.params:
        if isinstance(each, click.Argument):
            count = draw(st.integers(0, 2 if each.nargs == -1 else 1))
            words += [draw(_WORDS) for _ in range(count)]
        elif each.opts[0] in ("--redis-url", "--archive-url", "--help") or set(each.opts) & set(_WAITS):
            continue
        elif draw(st.integers(0, 3)) == 0:
            words.append(draw(st.sampled_from(list(each.opts))))
            if not getattr(each, "is_flag", False):
                words.append(draw(_WORDS))
    return words


@pytest.fixture(scope="module")
def url(redis_servers: Any) -> str:
    """Give a Redis with a session in it."""
    from tests.servers import redis_executables

    url = str(redis_servers.clean_url(next(iter(redis_executables().values()))))
    with SessionStore(url) as store:
        store.create(owner="ada")
    return url


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@given(data=st.data())
@examples(12)
def test_odd_lines(
    url: str, tmp_path_factory: pytest.TempPathFactory, path: tuple[str, ...], data: st.DataObject
) -> None:
    """It ends as documented; where the line was no good, nothing was changed."""
    folder = Path(tmp_path_factory.getbasetemp() / "cli")
    folder.mkdir(exist_ok=True)
    line = [*path, *data.draw(lines(COMMANDS[path]))]
    with redis.Redis.from_url(url, decode_responses=True, encoding_errors="surrogateescape", protocol=2) as raw:
        before, here = snapshot(raw), Path.cwd()
        os.chdir(folder)
        try:
            ran = CliRunner().invoke(cli, line, input="", env={"SOJOURN_REDIS_URL": url}, prog_name="sojourn")
        finally:
            os.chdir(here)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), (line, ran.exception)
        assert ran.exit_code in _CODES, (line, ran.exit_code, ran.stderr)
        assert "Traceback" not in ran.output
        assert all(len(each) < _LONGEST_LINE for each in ran.stderr.splitlines())
        if ran.exit_code == failures.USAGE:
            assert _but_for_the_audit(snapshot(raw)) == _but_for_the_audit(before), (line, ran.stderr)


def _but_for_the_audit(found: dict[str, Any]) -> dict[str, Any]:
    """Without the event by which the audit learns what an operator tried."""
    return {name: value for name, value in found.items() if not name.endswith((":events", ":operations"))}
