"""Stopping when asked to, and going on when Redis is away."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from typing import Final

from sojourn_worker.logs import LOG, milliseconds_since

__all__ = ["Outage", "Stop"]

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_TELL_EVERY_S: Final = 60.0
_STEP_S: Final = 0.5


class Stop:
    """Whether this process was asked to stop. Any thread can wait for it.

    A pipe carries the news, not a lock: the handler of a signal may run while its own thread holds any lock.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self.requests = 0
        """How often it was asked."""

    @property
    def requested(self) -> bool:
        """Whether it was asked at all."""
        return self.requests > 0

    def request(self, *_: object) -> None:
        """Ask this process to stop; also a signal handler."""
        self.requests += 1
        if self.requests == 1:
            os.write(self._write, b".")

    def install(self) -> None:
        """Have SIGTERM and SIGINT ask. For the main thread only."""
        signal.signal(signal.SIGTERM, self.request)
        signal.signal(signal.SIGINT, self.request)

    def wait(self, seconds: float) -> bool:
        """Wait until asked, at most so long; whether it was asked."""
        if seconds <= 0 or self.requested:
            return self.requested
        # Nobody reads the byte in the pipe, so it wakes every thread that waits, now and later.
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        deadline = time.monotonic() + seconds
        while not self.requested and (left_s := deadline - time.monotonic()) > 0:
            # In steps: a signal that comes just before the main thread begins to wait does not wake it, and is
            # handled once it has waited.
            poll.poll(min(left_s, _STEP_S) * 1000)
        return self.requested

    def close(self) -> None:
        """Give the pipe back; nobody may wait any more."""
        os.close(self._read)
        os.close(self._write)


class Outage:
    """Tells when an outage begins, once a minute that it lasts, and when it ends; and how long to pause meanwhile.

    Args:
        what: who is away, as in "Redis".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None
        self._tell_at = 0.0
        self._pause_s = _FIRST_PAUSE_S

    @property
    def lasts(self) -> bool:
        """Whether it is away, as far as known."""
        return self._since is not None

    def failed(self, error: BaseException) -> float:
        """Another try failed; the seconds to wait before the next one."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._tell_at = now + _TELL_EVERY_S
            LOG.warning("outage begins", what=self._what, error=error)
        elif now >= self._tell_at:
            self._tell_at = now + _TELL_EVERY_S
            LOG.warning("outage lasts", what=self._what, error=error, duration_ms=milliseconds_since(self._since))
        pause = self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
        return pause

    def over(self) -> None:
        """A try succeeded."""
        if self._since is not None:
            LOG.info("outage ends", what=self._what, duration_ms=milliseconds_since(self._since))
        self._since = None
        self._pause_s = _FIRST_PAUSE_S
