"""Dead letters, for the operator: list them, look at one, drop them. Replaying them takes the extra ``worker``."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sojourn.hook_names import check_hook, hook_scope
from sojourn.operations.core import Operation, raise_for
from sojourn.operations.dead import DeadLetter, Place, drop
from sojourn.operations.dead_pages import DeadPage, find_flow, hooks, page_flow
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.operations.record import now_ms
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["DeadLetter", "DeadLetters", "DeadPage"]

T = TypeVar("T")
_AT_ONCE: Final = 100


class DeadLetters:
    """The events that hooks were given up on, of all tenants.

    Args:
        settings: where they are, and the `queue_prefix` of the deployment whose hooks they are.

    Example:
        >>> with DeadLetters(load_settings()) as letters:  # doctest: +SKIP
        ...     print([each.id for each in letters.list(hook="mail").letters])
        ['mail/40-1750000000000-0']
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport = Transport(settings)
        self._opened = False

    def list(
        self,
        *,
        hook: str | None = None,
        tenant: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        newest_first: bool = True,
    ) -> DeadPage:
        """One page of dead letters, by the time at which they were given up.

        Args:
            hook: only this hook's, whether or not the settings name it.
            tenant: only this tenant's.
            limit: how many at most, 1 to 1,000.
            cursor: where the page before left off.
            newest_first: the order.

        Raises:
            InvalidInput: one of the arguments is no good.
            StoreUnavailable: Redis did not answer.
        """
        places = self._places(hook, tenant)
        return self._drive(page_flow(places, limit=limit, cursor=cursor, newest_first=newest_first, tenant=tenant))

    def find(self, letter_id: str) -> tuple[DeadLetter, ...]:
        """The dead letters with this id: none, one, or two where the event was given up again during a replay.

        Raises:
            InvalidId: not a dead letter's id.
            StoreUnavailable: Redis did not answer.
        """
        return tuple(self._drive(find_flow(letter_id, self._settings.queue_prefix, self._settings.partitions)))

    def each(self, *, hook: str | None = None, tenant: str | None = None) -> Iterator[DeadLetter]:
        """All dead letters that are there now, hook by hook, oldest first in each partition.

        They may be dropped or replayed on the way; what is given up meanwhile is not among them.

        Raises:
            InvalidName: not a hook's name.
            StoreUnavailable: Redis did not answer.
        """
        until_ms = self._run(_time())
        for place in self._places(hook, tenant):
            cursor: str | None = None
            while True:
                page = self._drive(
                    page_flow(
                        [place], limit=_AT_ONCE, cursor=cursor, newest_first=False, tenant=tenant, until_ms=until_ms
                    )
                )
                yield from page.letters
                cursor = page.cursor
                if cursor is None:
                    break

    def drop(self, letters: Sequence[DeadLetter]) -> int:
        """Take dead letters off the list; how many were still there. Their hooks never run on those events any more.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        return self._run(drop(letters)) if letters else 0

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _places(self, hook: str | None, tenant: str | None) -> tuple[Place, ...]:
        prefix, known = self._settings.queue_prefix, self._run(homes(self._settings.partitions))
        partitions = [each for each in known.partitions if tenant is None or known.has(tenant, each.number)]
        names = [check_hook(hook)] if hook is not None else self._run(hooks(partitions, prefix))
        return tuple(Place(each, name, hook_scope(prefix, name)) for name in names for each in partitions)

    def _run(self, operation: Operation[T]) -> T:
        if not self._opened:
            for step in open_layout(self._settings.partitions):
                if step.parse(self._transport.execute([step])[0]):
                    break
            self._opened = True
        return operation.parse(self._transport.execute([operation])[0])

    def _drive(self, flow: Generator[Operation[Any], Any, T]) -> T:
        result: Any = None
        while True:
            try:
                operation = flow.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            result = self._run(operation)


def _time() -> Operation[int]:
    def parse(replies: list[Any]) -> int:
        raise_for(replies[0], "-", "-")
        return now_ms(replies[0])

    return Operation((("TIME",),), parse)
