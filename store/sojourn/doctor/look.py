"""What the checks look through: a deployment's Redis and settings, each fact read once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.exceptions import ResponseError

from sojourn.clients import Client, clients
from sojourn.codec import Models
from sojourn.errors import SessionCorrupt, StoreError
from sojourn.jobqueues import JobQueues, read_job_queues
from sojourn.keys import TENANTS, Homes
from sojourn.metrics import Metrics, read_metrics
from sojourn.operations.core import Command, Context, Operation, is_of_another_type, raise_for
from sojourn.operations.homes import homes
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

if TYPE_CHECKING:
    from sojourn.doctor.walk import Drift

__all__ = ["Look", "NotAllowed", "Progress"]

T = TypeVar("T")
Progress = Callable[[int, int | None], None]
Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]
_REFUSED: Final = re.compile(r"NOPERM|(?i:can't access|can't run this command|unknown (sub)?command)")
_MOST_TENANTS: Final = 1_000
_AT_ONCE: Final = 1_000
"""Commands in one write: beyond it both sides might wait for the other to read."""


class NotAllowed(StoreError):
    """Redis does not let this login look at something, or has not got it."""


class Look:
    """One look at a deployment.

    Args:
        settings: of the deployment.
        full: whether every session is looked at, rather than some.
        progress: told how many keys were looked at, and how many there are.
    """

    def __init__(self, settings: Settings, *, full: bool = False, progress: Progress | None = None) -> None:
        self.settings = settings
        self.full = full
        self.progress = progress
        self._transport = Transport(settings)

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    # Asking

    @property
    def execute(self) -> Execute:
        """For those who execute operations themselves."""
        return self._transport.execute

    def run(self, operation: Operation[T]) -> T:
        """Execute one operation."""
        return self.run_many([operation])[0]

    def run_many(self, operations: list[Operation[T]]) -> list[T]:
        """Execute operations in one write.

        Raises:
            NotAllowed: this login may not.
        """
        if not operations:
            return []
        found = self._transport.execute(operations)
        for operation, replies in zip(operations, found, strict=True):
            for command, reply in zip(operation.commands, replies, strict=True):
                _refuse(command, reply)
        return [_parsed(operation, replies) for operation, replies in zip(operations, found, strict=True)]

    def ask(self, *commands: Command) -> list[Any]:
        """The replies to plain commands; None for a key that is of another type.

        Raises:
            NotAllowed: this login may not.
        """

        def parse(replies: list[Any]) -> list[Any]:
            return [None if _is_odd(each) else _sound(each) for each in replies]

        found: list[Any] = []
        for start in range(0, len(commands), _AT_ONCE):
            found += self.run(Operation(commands[start : start + _AT_ONCE], parse))
        return found

    def config(self, *names: str) -> dict[str, str]:
        """Of Redis's configuration; what this version does not know is not there."""
        replies = self.ask(*(("CONFIG", "GET", name) for name in names))
        return {flat[0]: flat[1] for flat in replies if flat}

    # What several checks want to know

    @cached_property
    def info(self) -> Mapping[str, str]:
        """What ``INFO`` tells."""
        (text,) = self.ask(("INFO",))
        pairs = (line.partition(":") for line in str(text).splitlines() if ":" in line)
        return {name: value for name, _, value in pairs}

    @cached_property
    def version(self) -> tuple[int, ...]:
        """Of the server, or of the Redis that it stands in for."""
        return tuple(int(each) for each in re.findall(r"\d+", self.info.get("redis_version", "0"))[:3])

    @cached_property
    def metrics(self) -> Metrics:
        """The numbers that Redis keeps."""
        try:
            return read_metrics(self.settings)
        except StoreError as error:
            if "may not do that" in str(error):
                raise NotAllowed("this login may not read what all tenants share") from error
            raise

    @cached_property
    def queues(self) -> JobQueues | None:
        """What the queues' Redis tells; None where it does not answer."""
        return read_job_queues(self.settings)

    @cached_property
    def homes(self) -> Homes:
        """Where the tenants are."""
        return self.run(homes(self.settings.partitions))

    @cached_property
    def tenants(self) -> tuple[str, ...]:
        """The tenants, or, of very many, as many by chance."""
        (found,) = self.ask(("SRANDMEMBER", TENANTS, _MOST_TENANTS))
        return tuple(sorted({*(found or ()), *list(self.homes.isolated)[:_MOST_TENANTS]}))

    @cached_property
    def clients(self) -> tuple[Client, ...]:
        """The processes that told of themselves, and are still there; of this deployment and of others."""
        return tuple(each for each in self.run(clients()) if each.is_alive)

    @cached_property
    def drift(self) -> Drift:
        """What disagrees among sessions and what lists them."""
        from sojourn.doctor.walk import Walk

        walk = Walk(self)
        return walk.everything() if self.full else walk.sample()

    @property
    def context(self) -> Context:
        """For operations."""
        return self.settings.context(Models([]), actor=self.settings.actor)

    def forget(self) -> None:
        """Look anew from now on."""
        for name, known in vars(type(self)).items():
            if isinstance(known, cached_property):
                vars(self).pop(name, None)


def _refuse(command: Command, reply: Any) -> None:
    if isinstance(reply, ResponseError) and _REFUSED.search(str(reply)):
        words = [str(each) for each in command[: 2 if command[0] in ("CONFIG", "ACL", "SCRIPT", "XINFO") else 1]]
        raise NotAllowed(f"this login may not {' '.join(words)}, or not on that key") from None


def _parsed(operation: Operation[T], replies: list[Any]) -> T:
    try:
        return operation.parse(replies)
    except SessionCorrupt:
        odd = [command for command, reply in zip(operation.commands, replies, strict=True) if is_of_another_type(reply)]
        if not odd:
            raise
        key = odd[0][3 if odd[0][0] == "EVALSHA" else 1]
        raise StoreError(f"the key {key!s} is not of the type that it should be: other hands wrote it") from None


def _is_odd(reply: Any) -> bool:
    text = str(reply) if isinstance(reply, ResponseError) else ""
    return text.startswith(("WRONGTYPE", "NOGROUP")) or "no such key" in text


def _sound(reply: Any) -> Any:
    raise_for(reply, "-", "-")
    return reply
