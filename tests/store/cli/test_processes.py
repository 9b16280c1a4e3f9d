"""The command line as a process: pipes, signals, terminals, and how soon it is there."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.store.cli.conftest import Start
from tests.waiting import eventually

pytestmark = pytest.mark.no_cover  # a process that a signal ends while it is traced has crashed as it went


def sigint_at_its_default() -> None:
    """Undo what a shell does to its background jobs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_output_and_exit_codes(start: Start) -> None:
    """Results go to stdout, errors to stderr, and the exit code tells."""
    created = start("create", "--owner", "ünï")
    out, err = created.communicate(timeout=30)
    assert (created.returncode, err) == (0, "")
    shown = start("get", out.strip(), "--json")
    assert shown.communicate(timeout=30)[0].count("\n") == 1
    lost = start("get", "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b")
    out, err = lost.communicate(timeout=30)
    assert (lost.returncode, out, err.count("\n")) == (1, "", 1)


def test_a_pipe_of_ids(start: Start, store: Any) -> None:
    """``list --ids | end -`` ends them all."""
    made = {store.create(owner="ada").id for _ in range(20)}
    listed = start("list", "--owner", "ada", "--all", "--ids")
    ended = start("end", "-", stdin=listed.stdout)
    assert listed.stdout is not None
    assert listed.stderr is not None
    listed.stdout.close()
    out, err = ended.communicate(timeout=30)
    listed.wait(timeout=30)
    listed.stderr.close()
    assert (ended.returncode, err) == (0, "")
    assert {line.split()[0] for line in out.splitlines()} == made


@pytest.mark.parametrize(
    "args", [["list", "--all"], ["list", "--all", "--ids"], ["list", "--all", "--json"], ["watch", "--since", "1h"]]
)
def test_a_closed_pipe_is_quiet(start: Start, store: Any, args: list[str]) -> None:
    """Whoever reads only the first line, as ``head`` does, sees no complaint."""
    store.create_many([{"owner": "o" * 200} for _ in range(700)])
    process = start(*args)
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    if args[0] == "watch":
        process.stdout = None
        eventually(lambda: store.create() and process.poll() is not None, deadline_s=20)
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) == 141


def test_a_full_disk_is_told_on_one_line(start: Start, store: Any) -> None:
    """No traceback, and an exit code."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    store.create()
    with Path("/dev/full").open("w") as full:
        process = start("list", stdout=full)
        err = process.communicate(timeout=30)[1]
    assert process.returncode == 4
    assert err.startswith("sojourn: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["watch"], ["events", "--follow", "--from", "new", "--group", "g"]])
def test_following_until_ctrl_c(start: Start, store: Any, command: list[str]) -> None:
    """Events come as they happen; Ctrl-C ends it with 130 and no traceback."""
    process = start(*command, "--json", preexec_fn=sigint_at_its_default)
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda out: lines.extend(iter(out.readline, "")), args=(process.stdout,))
    reader.start()
    # It is not told when it has begun to listen, so there is always another event.
    eventually(lambda: store.create() and lines, deadline_s=20, what="an event")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    reader.join(timeout=20)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read().strip() == ""
    process.stderr.close()


def on_terminal(args: list[str], columns: int, **environment: str) -> str:
    """Return what a command writes to a terminal of so many columns."""
    import fcntl
    import struct
    import termios

    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "sojourn.cli", *args]
    variables = {**os.environ, "TERM": "xterm-256color", **environment}
    variables.pop("COLUMNS", None)
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=variables)
    os.close(terminal)
    written = b""
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # Linux tells so that the other side is closed
            break
        if not chunk:
            break
        written += chunk
    os.close(controller)
    assert process.wait(timeout=30) == 0, written
    return written.decode()


def test_on_a_terminal(store: Any) -> None:
    """Coloured, fitted to its width, with ids in full; NO_COLOR leaves nothing but text."""
    made = store.create(owner="ada", tags=["t" * 200]).id
    coloured = on_terminal(["list"], 120)
    assert "\x1b[33mpending" in coloured
    plain = on_terminal(["list"], 120, NO_COLOR="1")
    assert "\x1b" not in plain
    assert made in plain
    assert "…" in plain
    assert max(map(len, plain.splitlines())) <= 120
    narrow = on_terminal(["list"], 40, NO_COLOR="1")
    assert made in narrow
    assert "TAGS" not in narrow
    assert on_terminal(["get", made, "--json"], 80).startswith("{\r\n  ")
    assert "\x1b[32mcreated" in on_terminal(["events"], 80)


def test_models_of_the_working_directory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may name a module of the project one stands in, as the installed command too."""
    (tmp_path / "project_models.py").write_text("from sojourn import Session\nclass OwnSession(Session): ...\n")
    monkeypatch.setenv("SOJOURN_MODELS", '["project_models:OwnSession"]')
    code = "import sys; sys.path.remove(''); from sojourn.cli import main; sys.argv[1:] = sys.argv[2:]; main()"
    command = [sys.executable, "-c", code, "sojourn", "create", "--kind", "own"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_needs_no_heavy_packages() -> None:
    """The help page does without the table library, PostgreSQL and RQ."""
    code = (
        "import sys; from sojourn.cli import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('rich.table', 'psycopg', 'rq', 'alembic', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
