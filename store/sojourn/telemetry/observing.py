"""Telling observers of a store's calls: which, how they ended, and how long they took."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Final, TypeVar

from sojourn.cache.view import CacheView
from sojourn.errors import InvalidInput, SessionNotFound, SojournError
from sojourn.logs import Log
from sojourn.settings import Settings

__all__ = ["LOG", "Call", "Ended", "Observer", "Observers", "Outcome", "operation_of", "result_of"]

B = TypeVar("B")
R = TypeVar("R")
LOG: Final = Log("sojourn.telemetry")
_WITHIN: Final[Mapping[str, str]] = {"Tokens": "tokens.", "McpCalls": "mcp."}
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NAMES: Final[dict[CodeType, str]] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that begins."""

    operation: str
    """The method: ``get``, ``create_many``, ``tokens.verify``, ``mcp.metrics``."""
    tenant: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    result: str
    """``ok``, ``not_found``, the class of another error as in ``version_conflict``, ``cancelled``, or ``error`` for
    what is not the library's, such as an exception in a function that was given to ``mutate``."""
    error: BaseException | None
    duration_s: float


Ended = Callable[[Outcome], None]


class Observer:
    """Is told of each call of the stores that it is given to; from several threads, if they are used so.

    Subclass it, and pass it on: ``SessionStore(observers=[...])``. What it raises is logged, and stops no call.

    Example:
        >>> class Printer(Observer):
        ...     def started(self, call):
        ...         return lambda outcome: print(call.operation, outcome.result)
    """

    def attach(self, settings: Settings) -> None:
        """A store with these settings is going to tell it of its calls."""

    def cached(self, cache: CacheView) -> None:
        """A store that is going to tell it of its calls has that near cache."""

    def started(self, call: Call) -> Ended | None:
        """A call begins; the result, if there is one, is called when it ends."""

    def trace_id(self) -> str:
        """The trace in which the caller is, for the events of a store that was given none; '' for none."""
        return ""

    def flush(self) -> None:
        """A store is being closed: send on what is kept. It may take its time, and may be called more than once."""


class Observers:
    """All observers of a store."""

    def __init__(self, observers: Iterable[Observer], settings: Settings) -> None:
        self._all = tuple(observers)
        for each in self._all:
            if not isinstance(each, Observer):
                raise InvalidInput(f"an observer is a sojourn.telemetry.Observer, not {type(each).__name__}")
            each.attach(settings)
        self._told: set[str] = set()

    def cached(self, cache: CacheView) -> None:
        """The store has that near cache."""
        for each in self._all:
            each.cached(cache)

    def call(self, operation: str, tenant: str, perform: Callable[[B], R], build: B) -> R:
        """What `perform` makes of `build`, observed."""
        ends, started_s = self._started(operation, tenant), time.perf_counter()
        try:
            found = perform(build)
        except BaseException as error:
            self._ended(ends, started_s, error)
            raise
        self._ended(ends, started_s, None)
        return found

    async def await_call(self, operation: str, tenant: str, perform: Callable[[B], Awaitable[R]], build: B) -> R:
        """The same, awaited."""
        ends, started_s = self._started(operation, tenant), time.perf_counter()
        try:
            found = await perform(build)
        except BaseException as error:
            self._ended(ends, started_s, error)
            raise
        self._ended(ends, started_s, None)
        return found

    def _started(self, operation: str, tenant: str) -> list[tuple[Observer, Ended]]:
        call = Call(operation, tenant)
        ends = []
        for each in self._all:
            try:
                ended = each.started(call)
            except Exception as error:  # noqa: BLE001 - an observer's mistake is none of the call's
                self._complain(each, error)
                continue
            if ended is not None:
                ends.append((each, ended))
        return ends

    def _ended(self, ends: list[tuple[Observer, Ended]], started_s: float, error: BaseException | None) -> None:
        outcome = Outcome(result_of(error), error, time.perf_counter() - started_s)
        for each, ended in reversed(ends):  # what began last, as a span within another, ends first
            try:
                ended(outcome)
            except Exception as mistake:  # noqa: BLE001
                self._complain(each, mistake)

    def trace_id(self) -> str:
        """The first trace that one of them knows of."""
        for each in self._all:
            try:
                if found := each.trace_id():
                    return found
            except Exception as error:  # noqa: BLE001
                self._complain(each, error)
        return ""

    def flush(self) -> None:
        """Have each send on what it keeps."""
        for each in self._all:
            try:
                each.flush()
            except Exception as error:  # noqa: BLE001
                self._complain(each, error)

    def _complain(self, observer: object, error: Exception) -> None:
        """Say it once of each: it would come with every call."""
        name = f"{type(observer).__name__}: {type(error).__name__}"
        if name not in self._told:
            self._told.add(name)
            LOG.warning("observer failed", error=error, observer=type(observer).__name__)


def operation_of(code: CodeType) -> str:
    """The operation whose public method has that code: so that no name of one is written twice.

    Example:
        >>> from sojourn import AsyncTokens
        >>> operation_of(AsyncTokens.verify.__code__)
        'tokens.verify'
    """
    name = _NAMES.get(code)
    if name is None:
        owner, _, method = code.co_qualname.partition(".")
        method = method.partition(".")[0].lstrip("_")
        name = _NAMES[code] = _WITHIN.get(owner.removeprefix("Async"), "") + (method or owner)
    return name


def result_of(error: BaseException | None) -> str:
    """How a call that raised `error`, or nothing, ended, in a word.

    Example:
        >>> from sojourn import VersionConflict
        >>> result_of(None), result_of(VersionConflict("ID", "acme", "3"))
        ('ok', 'version_conflict')
    """
    if error is None:
        return "ok"
    if type(error) is SessionNotFound:
        return "not_found"
    if isinstance(error, SojournError):
        return _WORDS.sub("_", type(error).__name__).lower()
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "error"
