"""A bound on the memory that a hook may take."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sojourn_worker.logs import LOG

__all__ = ["MemoryBound"]

_STATM: Final = Path("/proc/self/statm")
_DATA_FIELD: Final = 5
_SPARE: Final = 0.25


class MemoryBound:
    """While it is in force, this process gets a MemoryError where it would grow by more than so much.

    The bound is RLIMIT_DATA, which on Linux counts what is private and writable: heap and anonymous mappings, that is
    what a hook takes and what the machine has to find. RLIMIT_AS would also count what is merely reserved, some 64 MB
    of addresses for each thread's arena and every mapped file among it. What this process holds at the start, most of
    it forked from the worker and shared with it, is not the hook's, and comes on top.

    Only the soft limit is set, and only around the hook: what follows it, to note how it went, has room; and what
    others take between two calls is not on the hook's account.

    Args:
        memory_mb: how much; None: no bound.
    """

    def __init__(self, memory_mb: int | None) -> None:
        self._most = None if memory_mb is None else memory_mb * 2**20
        if self._most is not None and not _STATM.exists():
            LOG.warning("memory_mb has no effect", reason="it takes Linux's /proc")
            self._most = None
        self._left = self._most or 0

    @property
    def is_short(self) -> bool:
        """Whether earlier calls have kept so much that the next one should rather get a process of its own."""
        return self._most is not None and self._left < _SPARE * self._most

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Bound what happens within."""
        if self._most is None:
            yield
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        before = _taken()
        limits = [before + max(0, self._left), *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
            self._left = min(self._most, self._left - (_taken() - before))


def _taken() -> int:
    """Bytes of this process that the limit counts."""
    return int(_STATM.read_text().split()[_DATA_FIELD]) * resource.getpagesize()
