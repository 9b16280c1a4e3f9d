"""A Redis with a few sessions in it, and calls on a store over it that are judged."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Self

import redis
from tests.drivers import snapshot
from tests.fuzz import oracle
from tests.fuzz.hostile import Planted, made
from tests.fuzz.models import EverySession

from sojourn import AsyncSessionStore, McpSession, SessionStore, Settings

__all__ = ["Entry", "Failed", "World", "public_entries"]

_AT_MOST: Final = 3
"""Events that are taken from an iteration over them."""


@dataclass(frozen=True)
class Entry:
    """A public method of a store, or of what one of its properties gives, such as ``tokens.issue``."""

    path: str
    parameters: tuple[inspect.Parameter, ...]

    def __repr__(self) -> str:
        return self.path


def public_entries(store: Any, path: str = "") -> Iterator[Entry]:
    """Every public method of a store, and of the objects behind its properties."""
    cls = type(store)
    for name in dir(cls):
        if name.startswith("_"):
            continue
        found = inspect.getattr_static(cls, name)
        if inspect.isfunction(found):
            own = tuple(inspect.signature(found).parameters.values())[1:]
            yield Entry(path + name, own)
        elif isinstance(found, property) and path.count(".") < 2:
            value = getattr(store, name)
            if type(value).__module__.startswith("sojourn.") and not isinstance(value, Settings):
                yield from public_entries(value, f"{path}{name}.")


class Failed(Exception):
    """The call raised `error`, which was found right."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(str(error))


class World:
    """Calls methods of one kind of store.

    What a call that failed left behind is what was there before it, so Redis is filled anew only after calls that did
    not fail.
    """

    def __init__(self, kind: str, settings: Settings) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        self._raw = redis.Redis.from_url(
            settings.redis_url, decode_responses=True, protocol=2, encoding_errors="surrogateescape"
        )
        self._filler = SessionStore(settings=settings)
        self._stores = {"": self._open(EverySession, settings), "mcp": self._open(McpSession, settings)}
        self._before: dict[str, Any] | None = None
        self.there: dict[str, dict[str, Any]] = {}

    def _open(self, model: type[Any], settings: Settings) -> Any:
        return (SessionStore if self._loop is None else AsyncSessionStore)(model=model, settings=settings)

    def fill(self) -> None:
        """Empty Redis, and put a few sessions in."""
        self._raw.flushdb()
        store = self._stores[""]
        live = self._wait(store.create(text="first", queue="q", labels=["x"], owner="ada", metadata={"a": [1]}))
        self._wait(store.append(live.id, EverySession.lines, "one", "two"))
        ended = self._wait(store.complete(self._wait(store.create(owner="bob")).id))
        other = self._filler.create(owner="ada")
        mcp = self._wait(self._stores["mcp"].create(owner="ada"))
        pair = self._wait(store.tokens.issue(live.id))
        ids = {"live": live.id, "ended": ended.id, "other": other.id}
        tokens = {"access": pair.access, "refresh": pair.refresh}
        self.there = {"": ids | tokens, "mcp": ids | tokens | {"live": mcp.id, "other": live.id}}
        self._before = None

    def call(
        self, path: str, args: Sequence[Any], named: Mapping[str, Any], *, quotes: bool, of_the_callers: bool
    ) -> Any:
        """Call a method.

        Raises:
            Failed: it raised an error, as it may.
        """
        if self._before is None:
            self.fill()
            self._before = snapshot(self._raw)
        there = self.there.get(path.partition(".")[0], self.there[""])
        given, named = made(list(args), there), made(dict(named), there)
        try:
            result = self._follow(path, given, named)
        except (Exception, Planted) as error:  # noqa: BLE001 - they are what is looked for
            oracle.check_error(error, quotes=quotes, of_the_callers=of_the_callers)
            after = snapshot(self._raw)
            assert after == self._before, f"changed by a call that failed: {_difference(self._before, after)}"
            raise Failed(error) from None
        self._before = None
        return result

    def follow_up(self, path: str, *args: Any, **named: Any) -> Any:
        """Call a method that has to succeed."""
        return self._follow(path, args, named)

    def _follow(self, path: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        before, _, name = path.rpartition(".")
        target = self._stores.get(before, self._stores[""])
        for each in before.split(".") if before else ():
            target = getattr(target, each)
        if name == "editing":
            return self._edit(target, args, dict(named))
        if name == "start_cleanup_scheduler":
            return self._start_and_stop(target, args, named)
        result = getattr(target, name)(*args, **named)
        if inspect.isgenerator(result):
            taken = list(islice(result, _AT_MOST))
            result.close()
            return taken
        if inspect.isasyncgen(result):
            return self._wait(_taken(result))
        return self._wait(result)

    def _edit(self, store: Any, args: Sequence[Any], named: dict[str, Any]) -> None:
        changes = named.pop("assigned", {})
        context = store.editing(*args, **named)
        draft = context.__enter__() if self._loop is None else self._wait(context.__aenter__())
        try:
            for name, value in changes.items():
                setattr(draft, name, value)
        finally:
            nothing = (None, None, None)
            context.__exit__(*nothing) if self._loop is None else self._wait(context.__aexit__(*nothing))

    def _start_and_stop(self, store: Any, args: Sequence[Any], named: Mapping[str, Any]) -> None:
        if self._loop is None:
            store.start_cleanup_scheduler(*args, **named)
            store.stop_cleanup_scheduler()
            return

        async def run() -> None:
            store.start_cleanup_scheduler(*args, **named)
            await store.stop_cleanup_scheduler()

        self._loop.run_until_complete(run())

    def _wait(self, result: Any) -> Any:
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) and self._loop else result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._filler, *self._stores.values(), self._raw):
            self._wait(each.close())
        if self._loop is not None:
            self._loop.close()


async def _taken(events: Any) -> list[Any]:
    taken = []
    async for each in events:
        taken.append(each)
        if len(taken) == _AT_MOST:
            break
    await events.aclose()
    return taken


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
