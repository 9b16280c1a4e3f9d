"""Waiting for what another process or thread does: for a condition, to a deadline, never for a time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["eventually", "eventually_async"]

T = TypeVar("T")
_POLL_S = 0.01


def eventually(condition: Callable[[], T], *, deadline_s: float = 30.0, what: str = "") -> T:
    """Call ``condition`` until its result is true, and return that result.

    Raises:
        AssertionError: it was not within ``deadline_s`` seconds; names ``what`` and the last result.

    Example: ``eventually(lambda: client.exists("done"), what="the job's mark")``
    """
    deadline = time.monotonic() + deadline_s
    while True:
        late = time.monotonic() >= deadline
        if result := condition():
            return result
        if late:
            raise AssertionError(_message(condition, result, deadline_s, what))
        time.sleep(_POLL_S)


async def eventually_async(condition: Callable[[], Awaitable[T]], *, deadline_s: float = 30.0, what: str = "") -> T:
    """Do the same as :func:`eventually` with a coroutine function.

    Raises:
        AssertionError: the result was not true within ``deadline_s`` seconds.
    """
    deadline = time.monotonic() + deadline_s
    while True:
        late = time.monotonic() >= deadline
        if result := await condition():
            return result
        if late:
            raise AssertionError(_message(condition, result, deadline_s, what))
        await anyio.sleep(_POLL_S)


def _message(condition: object, result: object, deadline_s: float, what: str) -> str:
    return f"not within {deadline_s} s: {what or condition}; the last result was {result!r}"
