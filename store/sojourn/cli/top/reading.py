"""Reading at intervals, in a thread of its own, so that keys work while Redis does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from sojourn.cli.top.model import Sample
from sojourn.cli.top.view import Frame
from sojourn.errors import StoreError
from sojourn.metrics import Choice, read_metrics
from sojourn.metrics.statuses import read_live
from sojourn.settings import Settings

__all__ = ["Reader", "each_frame", "read_sample"]

_TENANTS: Final = 1_000
"""Tenants that are told apart; all others are told together."""


def read_sample(settings: Settings, choice: Choice) -> Sample:
    """Read everything.

    Raises:
        StoreUnavailable: Redis did not answer in time.
        LayoutMismatch: Redis is laid out with other settings.
    """
    metrics = read_metrics(settings, choice)
    return Sample(metrics.clock_s, metrics, read_live(settings, metrics))


def frames_of(settings: Settings) -> Callable[[Frame], Frame]:
    """What reads the next frame: with a problem in it, and what was read before, where Redis does not answer."""
    choice = Choice(_TENANTS)

    def read(last: Frame) -> Frame:
        try:
            sample = read_sample(settings, choice)
        except StoreError as error:
            return replace(last, problem=f"{str(error).splitlines()[0]}; what is shown was read before")
        before = last.now if last.now is None or last.now.at_s < sample.at_s else last.before
        return Frame(sample, before)

    return read


def each_frame(settings: Settings, interval_s: Callable[[], float]) -> Iterator[Frame]:
    """A frame after each interval; the first one, from which rates are counted, is not among them."""
    read = frames_of(settings)
    last = read(Frame(None))
    while True:
        time.sleep(interval_s())
        last = read(last)
        yield last


class Reader(threading.Thread):
    """Reads frames until it is stopped.

    Args:
        settings: where Redis is.
        interval_s: between two looks.
        tell: called when there is another frame; from this thread.
    """

    def __init__(self, settings: Settings, interval_s: float, tell: Callable[[], None]) -> None:
        super().__init__(name="sojourn-top", daemon=True)
        self._read = frames_of(settings)
        self._tell = tell
        self._changed = threading.Event()
        self._stopped = False
        self.interval_s = interval_s
        self.paused = False
        self.latest = Frame(None)
        self.failed: BaseException | None = None
        """What else went wrong than that Redis is away."""

    def run(self) -> None:
        """Read; another look comes an interval after the last began."""
        try:
            while not self._stopped:
                began_s = time.monotonic()
                if not self.paused:
                    found = self._read(self.latest)
                    if not self.paused:
                        self.latest = found
                        self._tell()
                self._changed.wait(max(0.01, self.interval_s - (time.monotonic() - began_s)))
                self._changed.clear()
        except BaseException as error:  # noqa: BLE001 - raised again where people see it
            self.failed = error
            self._tell()

    def change(self, interval_s: float, *, paused: bool) -> None:
        """Go on in another way."""
        if (interval_s, paused) != (self.interval_s, self.paused):
            self.interval_s, self.paused = interval_s, paused
            self._changed.set()

    def stop(self) -> None:
        """Let it end. It may be waiting for a reply: nobody waits for that."""
        self._stopped = True
        self._changed.set()
