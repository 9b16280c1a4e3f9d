"""Asking Redis for several keys at once, each with what its reply means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ResponseError

from sojourn.inspection.commands import RedisCli
from sojourn.inspection.model import Item, Part
from sojourn.operations.core import Argument, Operation, is_of_another_type, pairs, raise_for

__all__ = ["Answer", "Ask", "ask_all", "item_of"]

_NO_KEY: Final = -2
_NO_TTL: Final = -1


@dataclass(frozen=True)
class Ask:
    """A command, and what its reply tells of the session."""

    part: Part
    what: str
    command: tuple[Argument, ...]
    has_ttl: bool = False
    """Whether the key is the session's own, so that its TTL matters."""
    shape: Callable[[Any], Any] = lambda reply: reply
    """Makes JSON values of the reply."""

    @property
    def key(self) -> str:
        """The key."""
        return str(self.command[2 if self.command[0] == "MEMORY" else 1])


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    ask: Ask
    value: Any = None
    ttl_ms: int | None = None
    """None: it does not expire, or is not there."""
    problem: str = ""
    """Why the key cannot be read: it is of another type."""
    refused: bool = False
    """Whether this login may not read it."""

    @property
    def is_there(self) -> bool:
        """Whether there is something."""
        return bool(self.problem) or self.value not in (None, {}, [], 0)


def ask_all(asks: Sequence[Ask]) -> Operation[list[Answer]]:
    """Ask for all of them in one round trip."""
    commands: list[tuple[Argument, ...]] = []
    for ask in asks:
        commands.append(ask.command)
        if ask.has_ttl:
            commands.append(("PTTL", ask.key))

    def parse(replies: list[Any]) -> list[Answer]:
        each = iter(replies)
        found = []
        for ask in asks:
            reply = next(each)
            ttl = next(each) if ask.has_ttl else None
            found.append(_answer(ask, reply, ttl))
        return found

    return Operation(tuple(commands) or (("PING",),), parse)


def _answer(ask: Ask, reply: Any, ttl: Any) -> Answer:
    if _is_refused(reply) or _is_refused(ttl):
        return Answer(ask, refused=True)
    ttl_ms = ttl if isinstance(ttl, int) and ttl not in (_NO_KEY, _NO_TTL) else None
    if is_of_another_type(reply):
        return Answer(ask, ttl_ms=ttl_ms, problem="the key is of another type: other hands wrote it")
    raise_for(reply, "-", "-")
    return Answer(ask, ask.shape(reply), ttl_ms)


def _is_refused(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and str(reply).startswith("NOPERM")


def hash_(reply: Any) -> dict[str, str]:
    """A hash, as a mapping."""
    return pairs(reply)


def item_of(answer: Answer, cli: RedisCli, *, drift: str = "", value: Any = None) -> Item:
    """What is told of it. `value` in place of what was read, where that is not to be shown."""
    ask = answer.ask
    return Item(
        part=ask.part, what=ask.what, where=ask.key, value=answer.value if value is None else value,
        command=cli.line(ask.command), ttl_ms=answer.ttl_ms,
        ttl_command=cli.line(("PTTL", ask.key)) if ask.has_ttl else None, drift=answer.problem or drift,
    )  # fmt: skip
