"""The live view on a real terminal: keys, sizes, signals, a Redis that goes away; the terminal is always given back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conftest import OwnRedis
from tests.store.cli.conftest import Run
from tests.waiting import eventually

from sojourn import SessionStore
from sojourn.cli.schemas import adapter

_ALTERNATE, _MAIN = "\x1b[?1049h", "\x1b[?1049l"
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class OnTerminal:
    """A command on a terminal of its own."""

    def __init__(self, *args: str, columns: int = 120, lines: int = 30, within: str = "", **environment: str) -> None:
        self._controller, terminal = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(terminal)
        self._terminal = terminal
        variables = {**os.environ, "TERM": "xterm-256color", **environment}
        for name in ("COLUMNS", "LINES"):
            variables.pop(name, None)
        command = [*(["bash", "-c", within] if within else []), sys.executable, "-m", "sojourn.cli", *args]
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal,
            env=variables, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        self.written = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._controller, 65536)
            except OSError:
                return
            self.written += data.decode("utf-8", "replace")

    @property
    def screen(self) -> str:
        """What the last frame shows."""
        text = _ESCAPE.sub("", self.written.rpartition("\x1b[H")[2]).replace("\r", "")
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._controller, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change its size, as dragging a window's corner does."""
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def shows(self, text: str) -> None:
        """Wait until a frame shows a text."""
        eventually(lambda: text in self.screen, deadline_s=20, what=f"{text!r} in {self.screen!r}")

    def ends(self, code: int) -> None:
        """Wait for the end, and see the terminal as it was."""
        assert self.process.wait(timeout=20) == code, self.written[-3000:]
        eventually(lambda: self.written.rstrip().rfind(_MAIN) > self.written.rfind(_ALTERNATE), what="the main screen")
        assert termios.tcgetattr(self._terminal) == self.before
        assert self.written.rfind("\x1b[?25h") > self.written.rfind("\x1b[?25l"), "the cursor is shown again"
        assert "Traceback" not in self.written

    def close(self) -> None:
        """End it, whatever happens."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for each in (self._controller, self._terminal):
            os.close(each)


@pytest.fixture
def on_terminal() -> Iterator[Callable[..., OnTerminal]]:
    """Give a function that starts a command on a terminal."""
    opened: list[OnTerminal] = []

    def start(*args: str, **options: Any) -> OnTerminal:
        opened.append(OnTerminal(*args, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def fill(store: Any) -> None:
    """Give three tenants sessions: 3, 2 and 1."""
    for number, name in enumerate(("zeta", "beta", "acme"), 1):
        store.for_tenant(name).create_many([{} for _ in range(number)])


def order(found: OnTerminal) -> list[str]:
    """The tenants on the screen, from the top."""
    return [line.split()[0] for line in found.screen.splitlines() if line.startswith(("acme", "beta", "zeta"))]


def test_keys_sort_filter_and_quit(store: Any, on_terminal: Callable[..., OnTerminal]) -> None:
    """Each key changes the next frame at once; q gives the terminal back."""
    fill(store)
    found = on_terminal("top", "--interval", "30s")
    eventually(lambda: order(found) == ["acme", "beta", "zeta"], deadline_s=20, what="sorted by live")
    assert _ALTERNATE in found.written
    found.press("r")
    eventually(lambda: order(found) == ["zeta", "beta", "acme"], what="reversed")
    found.press("S")
    eventually(lambda: "TENANT↑" in found.screen, what="sorted by name")
    found.press("/et")
    eventually(lambda: order(found) == ["beta", "zeta"], what="filtered while typing")
    found.press("a\r")
    eventually(lambda: order(found) == ["beta", "zeta"] and "filter: eta\n" in found.screen, what="the filter")
    found.press("\x1b")
    eventually(lambda: len(order(found)) == 3, what="no filter")
    found.press("k")
    found.shows("KIND")
    found.press("h")
    found.shows("sort by the next column")
    found.press("x")
    found.press("p")
    found.shows("paused")
    found.press("\x1b[A")  # an arrow means nothing, and is not taken for Esc and others
    found.resize(60, 9)
    eventually(lambda: max(map(len, found.screen.splitlines())) <= 60, what="the new size")
    found.press("q")
    found.ends(0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_signals_give_the_terminal_back(
    store: Any, on_terminal: Callable[..., OnTerminal], number: signal.Signals, code: int
) -> None:
    """Whatever ends it, the terminal is as it was."""
    fill(store)
    found = on_terminal("top")
    found.shows("acme")
    found.process.send_signal(number)
    found.ends(code)


def test_an_error_gives_the_terminal_back(store: Any, on_terminal: Callable[..., OnTerminal], tmp_path: Any) -> None:
    """One that nobody foresaw, in the thread that reads."""
    fill(store)
    (tmp_path / "sitecustomize.py").write_text(
        "import sojourn.cli.top.reading as reading\n"
        "def broken(*_):\n    raise RuntimeError('unforeseen')\n"
        "reading.read_sample = broken\n"
    )
    found = on_terminal("top", PYTHONPATH=str(tmp_path))
    assert found.process.wait(timeout=20) == 1
    eventually(lambda: "unforeseen" in found.written and _MAIN in found.written, what="the error")
    assert termios.tcgetattr(found._terminal) == found.before
    assert found.written.rfind(_MAIN) < found.written.rfind("unforeseen")


def test_it_can_be_suspended(store: Any, on_terminal: Callable[..., OnTerminal]) -> None:
    """Ctrl-Z in a shell with job control gives the terminal back until the job goes on."""
    fill(store)
    found = on_terminal("top", "--interval", "300ms", within='set -m; "$0" "$@"; echo stopped: $?; read -r; fg')
    found.shows("acme")
    found.press("\x1a")
    eventually(lambda: "stopped: 148" in found.written, what="its being stopped")
    assert found.written.rfind("stopped:") > found.written.rfind(_MAIN) > found.written.rfind(_ALTERNATE)
    assert termios.tcgetattr(found._terminal) == found.before
    found.press("\n")
    eventually(lambda: found.written.rfind(_ALTERNATE) > found.written.rfind(_MAIN), what="its screen")
    found.press("r")
    eventually(lambda: order(found) == ["zeta", "beta", "acme"], what="keys again")
    found.press("q")
    found.ends(0)


def test_redis_goes_and_comes_back(own_redis: OwnRedis, on_terminal: Callable[..., OnTerminal]) -> None:
    """It stays up, says so, shows what it knew, and goes on."""
    server = own_redis({"appendonly": "yes"})
    with SessionStore(server.url) as store:
        fill(store)
        found = on_terminal("top", "--interval", "200ms", "--redis-url", server.url)
        found.shows("acme")
        server.kill()
        found.shows("did not answer")
        assert order(found) == ["acme", "beta", "zeta"]
        found.press("r")
        eventually(lambda: order(found) == ["zeta", "beta", "acme"], what="keys meanwhile")
        server.restart()
        store.for_tenant("beta").create_many([{} for _ in range(5)])
        eventually(lambda: "did not answer" not in found.screen and "11 live" in found.screen, what="the new frame")
    found.press("q")
    found.ends(0)


def test_without_redis_from_the_start(on_terminal: Callable[..., OnTerminal]) -> None:
    """It waits for it."""
    found = on_terminal("top", "--redis-url", "redis://127.0.0.1:1/0", NO_COLOR="1")
    found.shows("did not answer")
    found.press("q")
    found.ends(0)
    assert "\x1b[31m" not in found.written


def test_elsewhere_than_on_a_terminal(run: Run, store: Any) -> None:
    """One frame as text, objects as JSON lines, rows as CSV; the same with --once on a terminal."""
    fill(store)
    shown = run("top", "--interval", "50ms").out
    assert "\x1b" not in shown
    assert [line.split()[:2] for line in shown.splitlines()[-3:]] == [["acme", "3"], ["beta", "2"], ["zeta", "1"]]
    frames = run("top", "--json", "--limit", "2", "--interval", "50ms", "--sort", "name").json_lines
    assert [[row["name"] for row in each["rows"]] for each in frames] == [["acme", "beta", "zeta"]] * 2
    for each in frames:
        adapter("Top").validate_python(each)
    assert frames[0]["summary"]["live"] == 6
    rows = run("top", "-o", "csv", "--once", "--interval", "50ms", "--by", "kind").out.splitlines()
    assert [row.split(",")[1:4] for row in rows] == [["by", "name", "live"], ["kind", "session", "6"]]
    assert (
        json.loads(run("top", "--json", "--once", "--tenant", "beta", "--interval", "50ms").out)["rows"][0]["live"] == 2
    )
    away = run("top", "--json", "--once", "--interval", "50ms", "--redis-url", "redis://127.0.0.1:1/0").json
    assert (away["summary"], away["rows"]) == (None, [])
    assert "did not answer" in away["problem"]
    for wrong in (["--interval", "0s"], ["--interval", "never"], ["--sort", "x"], ["--limit", "1"], ["--by", "x"]):
        assert run("top", *wrong, code=2).out == ""
