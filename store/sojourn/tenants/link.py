"""An operator's way to the sessions' Redis, where all tenants are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sojourn.codec import Models
from sojourn.errors import InvalidInput
from sojourn.keys import TENANTS, Homes, TenantKeys, is_tenant
from sojourn.operations.core import Command, Context, Operation, all_of, together
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.operations.tenancy import Dealt
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["AT_ONCE", "Link", "escaped", "stretches", "unknown_tenant"]

T = TypeVar("T")
AT_ONCE: Final = 50
"""Sessions, keys or entries in one script: to move or to remove a session takes Redis 50 to 100 us."""
_SCAN: Final = 1_000


class Link:
    """Executes operations, after a look at how this Redis is laid out and where the tenants are.

    Args:
        settings: where Redis is.
        actor: who acts, for the events.
    """

    def __init__(self, settings: Settings, actor: str = "") -> None:
        self.settings = settings
        self.actor = actor
        self._transport = Transport(settings)
        self.homes = Homes(settings.partitions)

    def open(self) -> None:
        """Check the layout, and find out where the tenants are.

        Raises:
            LayoutMismatch: Redis is laid out with other settings.
            StoreUnavailable: it did not answer.
        """
        look, lay_out = open_layout(self.settings.partitions)
        laid_out, self.homes = self.run(together(look, homes(self.settings.partitions)))
        if not laid_out:
            self.run(lay_out)

    def run(self, operation: Operation[T]) -> T:
        """Execute one operation."""
        return operation.parse(self._transport.execute([operation])[0])

    def run_all(self, items: list[str], step: Callable[[list[str]], Operation[Dealt]]) -> int:
        """Execute steps until all items are dealt with; how many there were of them."""
        count = 0
        while items:
            dealt = self.run(step(items))
            count, items = count + dealt.found, items[dealt.items :]
        return count

    def ask(self, *commands: Command) -> list[Any]:
        """The replies to plain commands of which none may fail."""
        return self.run(all_of(commands))

    def context(self, keys: TenantKeys) -> Context:
        """For operations on a tenant, as this actor."""
        return self.settings.context(Models([]), actor=self.actor).of(keys)

    def registered(self) -> set[str]:
        """The tenants that are known."""
        (found,) = self.ask(("SMEMBERS", TENANTS))
        return {each for each in (*found, *self.homes.isolated) if is_tenant(each)}

    def scan(self, command: str, key: str | None, pattern: str) -> Iterator[list[str]]:
        """Walk over keys, or over the members of a set: stretches of those that match.

        Args:
            command: ``SCAN``, ``SSCAN`` or ``ZSCAN``.
            key: the set's; None for the keys.
            pattern: what they match.
        """
        step = 2 if command == "ZSCAN" else 1
        cursor = "0"
        while True:
            place = () if key is None else (key,)
            ((cursor, found),) = self.ask((command, *place, cursor, "MATCH", pattern, "COUNT", _SCAN))
            if found:
                yield list(found[::step])
            if cursor == "0":
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()


def stretches(items: Iterable[str]) -> Iterator[list[str]]:
    """The items in as many at once as one script takes.

    Example:
        >>> [len(each) for each in stretches("x" * 150)]
        [50, 50, 50]
    """
    each = iter(items)
    while some := list(islice(each, AT_ONCE)):
        yield some


def escaped(text: str) -> str:
    r"""The text as a pattern of Redis's that matches it alone.

    Example:
        >>> print(escaped("a[b*"))
        a\[b\*
    """
    return "".join(f"\\{each}" if each in "*?[]\\" else each for each in text)


def unknown_tenant(tenant: str) -> InvalidInput:
    """The error for a tenant that is not there."""
    return InvalidInput(f"there is no tenant '{tenant}' in this Redis: see 'sojourn tenant list'")
