"""The terminal: keys as they are pressed, and signals; all as it was before, whatever happens."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Final, Self

__all__ = ["Terminal", "split_keys"]

_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)")
"""What arrows and function keys send; none of them means anything here."""
_SIGNALS: Final = (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT)
_READ: Final = 1024


def split_keys(text: str) -> Iterator[str]:
    r"""The keys in what a terminal sent.

    Example:
        >>> list(split_keys("sr" + chr(27) + "[A" + "q"))
        ['s', 'r', 'q']
    """
    yield from _SEQUENCE.sub("", text)


class Terminal:
    """Keys without Enter and without echo, and signals as flags; only one at a time, in the main thread."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._saved: Any = None
        self._handlers: dict[int, Any] = {}
        self._wake: tuple[int, int] = (-1, -1)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.ended_by: int | None = None
        """The signal that asks to end."""
        self.suspends = False
        """Whether it is to be stopped, to go on later."""

    def __enter__(self) -> Self:
        self._wake = os.pipe()
        for each in self._wake:
            os.set_blocking(each, False)
        for number in _SIGNALS:
            self._handlers[number] = signal.signal(number, self._note)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for each in self._wake:
            os.close(each)
        self._wake = (-1, -1)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number in (signal.SIGTERM, signal.SIGHUP):
            self.ended_by = number
        elif number == signal.SIGTSTP:
            self.suspends = True
        self.wake()

    def wake(self) -> None:
        """Let `keys` return; from any thread, and from handlers of signals."""
        if self._wake[1] >= 0:
            with contextlib.suppress(BlockingIOError, OSError):  # full: it wakes anyway; closed: there is nobody
                os.write(self._wake[1], b".")

    def keys(self, timeout_s: float | None) -> list[str]:
        """The keys that were pressed; waits for one, or for `wake`, so long."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        sources = [self._wake[0], *([] if self._fd is None else [self._fd])]
        left = None if until is None else max(0.0, until - time.monotonic())
        ready, _, _ = select.select(sources, (), (), left)
        if self._wake[0] in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake[0], _READ)
        if self._fd is None or self._fd not in ready:
            return []
        try:
            data = os.read(self._fd, _READ)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            self.ended_by = signal.SIGHUP
        return list(split_keys(self._decoder.decode(data)))

    def suspend(self) -> None:
        """Stop this process, as Ctrl-Z would, until it is continued. The screen must have been left before."""
        self.suspends = False
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            os.kill(os.getpid(), signal.SIGTSTP)
        finally:
            signal.signal(signal.SIGTSTP, self._note)
            self._take()

    def _take(self) -> None:
        if self._fd is not None:
            self._saved = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)

    def _give_back(self) -> None:
        if self._fd is not None and self._saved is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
            self._saved = None
