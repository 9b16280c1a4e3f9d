"""A lock that the handler of a signal may take again, or raise through, in the middle of what it guards."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Guard"]


class Guard:
    """Keeps other threads out, and lets the own one in again; what that may have disturbed is put in order at the end.

    So is what was left half done by an exception.

    Args:
        mend: puts it in order.
    """

    def __init__(self, mend: Callable[[], None]) -> None:
        self._mend = mend
        self._lock = threading.RLock()
        self._depth = 0
        self._disturbed = False

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1
        if self._depth > 1:
            self._disturbed = True

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._disturbed = True
        while self._disturbed and self._depth == 1:
            self._disturbed = False
            self._mend()
        self._depth -= 1
        self._lock.release()
