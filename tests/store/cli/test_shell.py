"""``sojourn shell``: what the code finds, who acts, and how it ends."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from typing import Any

import pytest
from tests.store.cli.conftest import Run
from tests.waiting import eventually


@pytest.mark.usefixtures("own_models")
def test_code_finds_a_store(run: Run, store: Any) -> None:
    """From the command line or a pipe; with the models, and as the tenant and actor of the command line."""
    shown = run("shell", "-c", "made = store.create(owner='ada'); print(made.id, settings.actor, JobSession.kind_name)")
    session_id, actor, kind = shown.out.split()
    assert (store.get(session_id).owner, kind) == ("ada", "job")
    assert actor.startswith("cli:")
    (event,) = store.peek_events().events
    assert (event.session_id, event.actor) == (session_id, actor)
    script = (
        "for each in sojourn.SessionStore(settings=settings).list().sessions:\n    print(each.tenant, timedelta(1))\n"
    )
    assert run("shell", stdin=script).out == "default 1 day, 0:00:00\n"
    assert (
        run("shell", "--tenant", "acme", "--actor", "eve", stdin="print(store.tenant, settings.actor)").out
        == "acme eve\n"
    )


def test_how_it_ends(run: Run) -> None:
    """An error is shown whole and ends it with 1; an exit code is that of the code."""
    failed = run("shell", "-c", "def f():\n    raise ValueError('no good')\nf()", code=1)
    assert "ValueError: no good" in failed.err
    assert "in f" in failed.err
    assert "cli/shell.py" not in failed.err
    assert "SyntaxError" in run("shell", stdin="a b", code=1).err
    assert "SessionNotFound" in run("shell", "-c", "store.get('6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77')", code=1).err
    run("shell", "-c", "raise SystemExit(7)", code=7)
    run("shell", "-c", "exit()")


def test_a_prompt_on_a_terminal(store: Any) -> None:
    """It says what is there, completes names, and ends at end of file."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "sojourn.cli", "shell", "--plain"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    written = bytearray()

    def read() -> None:
        try:
            while data := os.read(controller, 65536):
                written.extend(data)
        except OSError:  # Linux tells so that the other side is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    eventually(lambda: b">>> " in written, deadline_s=20, what="the prompt")
    assert b"the sessions of tenant default" in written
    os.write(controller, b"print(timedel\t1) * 2, store.tenant)\n")
    eventually(lambda: b"2 days, 0:00:00 default" in written, what="the result")
    os.write(controller, b"\x04")
    assert process.wait(timeout=20) == 0
    reader.join(timeout=20)
    os.close(controller)
    assert b"Traceback" not in written
