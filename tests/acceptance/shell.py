"""One shell in which the commands of a page are typed, so that what one sets the next one has."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Shell"]


class Shell:
    """A bash; commands that end with ``&`` go on until it is closed, and have to end well then."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._mark = f"done-{secrets.token_hex(8)}"
        self._background = 0
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=folder, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.run("trap 'kill $(jobs -p) 2> /dev/null' EXIT")  # should this process be killed, standard input ends

    def run(self, command: str, *, timeout_s: float = 60.0) -> tuple[int, str]:
        """Type a command; return its exit code, and what it printed on both streams.

        Raises:
            AssertionError: the shell did not outlive it, or it took too long.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        output = ""
        if command.rstrip().endswith("&"):
            self._background += 1
            output = f" > background-{self._background}.log 2>&1"
        self._process.stdin.write(f"{{ {command}\n}} < /dev/null{output}\nprintf '\\n%s %s\\n' {self._mark} $?\n")
        self._process.stdin.flush()
        late = threading.Timer(timeout_s, self._kill)
        late.start()
        lines: list[str] = []
        try:
            for line in self._process.stdout:
                if line.startswith(self._mark):
                    return int(line.split()[1]), "".join(lines)[:-1]  # without the newline before the mark
                lines.append(line)
        finally:
            late.cancel()
        raise AssertionError(f"the shell ended, or was ended after {timeout_s} s:\n{command}\n{''.join(lines)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what runs in the background, what began last first, and the shell."""
        ends = "for each in $(jobs -p | tac); do kill $each; wait $each || echo ended with $?; done"
        try:
            said = self.run(ends)[1].strip() if self._process.poll() is None else ""
        finally:
            self._kill()
            self._process.communicate()
        assert error is not None or not said, f"in the background: {said}"

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
