"""The owner's side of a guarded server process: spawn it, signal it, wait for its end."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from sojourn.embedded import _guard
from sojourn.embedded.errors import EmbeddedMissing, ServerFailed

__all__ = ["GuardedProcess", "free_port", "log_tail"]

HOST = "127.0.0.1"
# Below the ports that Linux and macOS hand to outgoing connections, so that no client takes a server's port
# while that server restarts.
_PORTS = range(15_000, 32_000)
_CHILDREN_S = 5.0
_POLL_S = 0.01


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at this moment.

    Another process may take it before the caller does, so a caller that binds it must be ready to try
    another.

    Example:
        >>> 15_000 <= free_port() < 32_000
        True
    """
    for _ in range(1_000):
        port = random.choice(_PORTS)  # noqa: S311 - not a secret
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # Without this a port that only has closed connections in TIME_WAIT would count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerFailed(f"no free TCP port between {_PORTS.start} and {_PORTS.stop}")


def log_tail(log: Path, *, offset: int = 0, lines: int = 20) -> str:
    """Return the last ``lines`` lines of ``log`` behind byte ``offset``; empty when there is no such file."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(offset)
        text = stream.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


class GuardedProcess:
    """One server under a guard (see ``_guard.py``). It ends with its owner, and never outlives it.

    Guard and server have a session of their own: a Ctrl-C in the owner's terminal does not reach them, so the
    owner can still write to its server while it winds up.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        directory: Path,
        log: Path,
        stop: list[tuple[int, float]],
        user: str = "self",
    ) -> None:
        spec: _guard.Spec = {
            "argv": argv,
            "directory": str(directory),
            "log": str(log),
            "owner": os.getpid(),
            "stop": stop,
            "user": user,
        }
        self._patience_s = sum(seconds for _, seconds in stop) + 10.0
        with log.open("ab") as stream:
            self._guard = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [sys.executable, "-I", str(_guard.__file__), json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                start_new_session=True,
            )
        assert self._guard.stdout is not None  # noqa: S101 - for the type checker
        with self._guard.stdout as answer:
            try:
                pid = answer.readline()
            except BaseException:
                self.close()
                raise
        if not pid:
            self.close()
            raise ServerFailed(f"cannot run {argv[0]}", log_tail=log_tail(log))
        self.pid = int(pid)

    @property
    def running(self) -> bool:
        """Whether the server has not ended yet."""
        return self._guard.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Wait for the server to end by itself; return its exit status, 128 + N after signal N.

        Raises:
            ServerFailed: it has not ended after ``timeout_s`` seconds.
        """
        try:
            return self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"the server (pid {self.pid}) did not end within {timeout_s:.0f} s") from error

    def close(self) -> None:
        """Have the guard stop the server, and wait for both. Does nothing the second time.

        Raises:
            ServerFailed: the guard did not end, in spite of SIGKILL to the server.
        """
        assert self._guard.stdin is not None  # noqa: S101 - for the type checker
        self._guard.stdin.close()
        # A process that we forked may keep the pipe open.
        self._guard.terminate()
        self.wait(self._patience_s)

    def kill(self, number: int) -> None:
        """Send signal ``number`` to the server and wait until it and all its children have ended.

        Raises:
            ServerFailed: it is not running, or the signal did not end it in the time a stop may take.
        """
        tree = self._tree()
        self._send(tree[:1], number)
        if number == signal.SIGKILL:
            self._send(tree[1:], number)
        self.wait(self._patience_s)
        # PostgreSQL's backends notice by themselves that their parent is gone; a restart must not meet them.
        deadline = time.monotonic() + _CHILDREN_S
        while (alive := [child for child in tree[1:] if _alive(child)]) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self._send(alive, signal.SIGKILL)
        self.close()

    def pause(self) -> None:
        """Freeze the server and its children (SIGSTOP): connections stay open, nothing answers."""
        tree = self._tree()
        self._send(tree[:1], signal.SIGSTOP)
        # The frozen parent starts no more children, so this second look finds them all.
        self._send(self._tree()[1:], signal.SIGSTOP)

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self._send(self._tree(), signal.SIGCONT)

    def _tree(self) -> list[Any]:
        if not self.running:
            raise ServerFailed(f"the server (pid {self.pid}) is not running")
        try:
            parent = _psutil().Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except _psutil().NoSuchProcess as error:
            raise ServerFailed(f"the server (pid {self.pid}) is not running") from error

    @staticmethod
    def _send(processes: list[Any], number: int) -> None:
        for process in processes:
            try:
                process.send_signal(number)
            except _psutil().NoSuchProcess:
                continue  # a backend that ended meanwhile


def _alive(process: Any) -> bool:
    # A zombie holds nothing any more; whether it is reaped is up to the machine's init.
    psutil = _psutil()
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _psutil() -> ModuleType:
    try:
        return importlib.import_module("psutil")
    except ImportError as error:
        raise EmbeddedMissing("psutil is missing: pip install 'sojourn[embedded]'") from error
