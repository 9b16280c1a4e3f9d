"""Bounding what is logged when the same trouble comes again and again."""

from __future__ import annotations

import logging
import mmap
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final

from sojourn.logs import Line

__all__ = ["Floods"]

_KEY_LENGTH: Final = 128
_SLOT: Final = struct.Struct(f"<{_KEY_LENGTH}sIdIQ")
_SLOTS: Final = 64
_BURST: Final = 10
_BOUNDED: Final = ("sojourn", "rq")
_WINDOW_S: Final = 60.0
_SEPARATOR: Final = "\0"


class Floods:
    """Lets the first lines about some trouble pass, and counts the others until the end of a minute.

    Trouble is a warning or worse of Sojourn's or RQ's own; what hooks log is theirs. The same one has the same event,
    and is with the same hook. After a minute with too many, one more line passes in each further minute, until there
    is one without too many.

    The counts are in memory that is shared with the processes that this one forks: each job runs in one of its own,
    and a hook that fails ten thousand times does so in as many. They are kept without a lock, so they may be a few off.

    Args:
        burst: how many lines pass.
        window_s: seconds until what was left out is told.
        clock: for tests; tells seconds, the same in all these processes.
    """

    def __init__(
        self, burst: int = _BURST, window_s: float = _WINDOW_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._window_s = window_s
        self._clock = clock
        self._look_at = 0.0
        self._table = mmap.mmap(-1, _SLOT.size * _SLOTS)

    def admits(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be written."""
        if record.levelno < logging.WARNING or not record.name.startswith(_BOUNDED):
            return True
        key = _key(record)
        now = self._clock()
        found = self._find(key, now)
        if found is None:
            return True  # more kinds of trouble than fit
        index, began, told, left_out = found
        if now - began >= self._window_s and not left_out:
            began, told = now, 0
        admitted = told < self._burst
        self._put(index, key, record.levelno, began, told + admitted, left_out + (not admitted))
        return admitted

    def is_due(self) -> bool:
        """Whether it is time to look for what was left out; a second after the last look."""
        now = self._clock()
        if now < self._look_at:
            return False
        self._look_at = now + min(1.0, self._window_s)
        return True

    def left_out(self) -> Iterator[logging.LogRecord]:
        """A line for each trouble whose minute is over, and that was left out meanwhile."""
        now = self._clock()
        for index in range(_SLOTS):
            key, level, began, _, count = self._get(index)
            if not key:
                return
            if count and now - began >= self._window_s:
                self._put(index, key, level, now, self._burst - 1, 0)
                yield _summary(key, level, count, now - began)

    def _find(self, key: bytes, now: float) -> tuple[int, float, int, int] | None:
        free = None
        for index in range(_SLOTS):
            held, _, began, told, left_out = self._get(index)
            if held == key:
                return index, began, told, left_out
            if free is None and (not held or (now - began >= self._window_s and not left_out)):
                free = index
            if not held:
                break
        return None if free is None else (free, now, 0, 0)

    def _get(self, index: int) -> tuple[bytes, int, float, int, int]:
        key, level, began, told, left_out = _SLOT.unpack_from(self._table, index * _SLOT.size)
        return key.rstrip(b"\0"), level, began, told, left_out

    def _put(self, index: int, key: bytes, level: int, began: float, told: int, left_out: int) -> None:
        _SLOT.pack_into(self._table, index * _SLOT.size, key, level, began, told, left_out)


def _key(record: logging.LogRecord) -> bytes:
    """What makes it the same trouble, cut to what fits into a slot. Of RQ's lines it is where they come from."""
    event = record.msg.event if isinstance(record.msg, Line) else f"{record.filename}:{record.lineno}"
    hook = record.msg.fields.get("hook", "") if isinstance(record.msg, Line) else ""
    text = _SEPARATOR.join((record.name, event, str(hook)))
    return text.encode(errors="replace")[:_KEY_LENGTH].rstrip(b"\0")


def _summary(key: bytes, level: int, count: int, window_s: float) -> logging.LogRecord:
    name, event, hook = [*key.decode(errors="replace").split(_SEPARATOR), "", ""][:3]
    fields: dict[str, object] = {"what": event, "count": count, "window_s": round(window_s)}
    if hook:
        fields["hook"] = hook
    return logging.LogRecord(name, level, __file__, 0, Line("lines left out", fields), None, None)
