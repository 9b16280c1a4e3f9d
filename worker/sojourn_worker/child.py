"""A role's process, as its supervisor sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Final

from sojourn_worker.logs import LOG

__all__ = ["MISFIT", "Child"]

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_HEALTHY_S: Final = 60.0
MISFIT: Final = 2
"""The exit code of a role that the settings do not fit: started again, it would end so again."""


class Child:
    """One role in a process of its own, in a session of its own: Ctrl-C in the terminal reaches the supervisor only.

    The child gets its settings through its standard input, which then stays open: when it ends, the supervisor is
    gone, and the child stops.
    """

    def __init__(self, role: str, settings_line: bytes) -> None:
        self.role = role
        self._line = settings_line
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._pause_s = _FIRST_PAUSE_S

    @property
    def running(self) -> bool:
        """Whether its process has not ended yet."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return self._process.pid if self._process is not None else None

    @property
    def misfit(self) -> bool:
        """Whether its process has ended because the settings do not fit."""
        return self._process is not None and self._process.poll() == MISFIT

    def keep_running(self, now_s: float) -> None:
        """Start it if it does not run and it is time to."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            if now_s - self._started_at >= _HEALTHY_S:
                self._pause_s = _FIRST_PAUSE_S
            LOG.warning("role ended", child=self.role, ended_by=_told(code), restart_in_s=self._pause_s)
            self._start_at = now_s + self._pause_s
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
            self._forget()
        if now_s >= self._start_at:
            self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "sojourn_worker", "--supervised", self.role],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        try:
            self._process.stdin.write(self._line)
            self._process.stdin.flush()
        except BrokenPipeError:
            LOG.debug("role died at once", child=self.role)  # the next look finds it so
        LOG.info("role started", child=self.role, child_pid=self._process.pid)

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and its group if it runs, and forget it."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._forget()

    def _forget(self) -> None:
        assert self._process is not None  # noqa: S101 - for the type checker
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        self._process.stdin.close()
        self._process = None


def _told(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
